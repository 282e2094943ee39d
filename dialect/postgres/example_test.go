package postgres_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/docs/exampledb"
	"github.com/lockstep-go/lockstep/uow"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

// Connect makes the one Manager of a database, to be shared by all who use it.
func Connect(dsn string) (*uow.Manager, error) {
	db, err := postgres.Open(dsn) // or any *sqlx.DB opened with driver "pgx"
	if err != nil {
		return nil, err
	}
	return uow.New(db, postgres.Dialect()), nil
}

// From a connection string to the first unit of work.
func ExampleOpen() {
	dsn, drop := exampledb.New() // postgres://user:password@host:port/database
	defer drop()

	m, err := Connect(dsn)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.DB().Close()
	err = m.Do(context.Background(), func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "create table measurement (id int primary key, celsius float8 not null)")
		return err
	})
	fmt.Println(err)
	// Output: <nil>
}

// A script takes the same lock as applock.Exclusive("tenant:42") with SQL alone.
func ExampleKey() {
	db, closeDB := exampledb.Open()
	defer closeDB()

	const recipe = "select ('x'||left(encode(sha256(convert_to($1,'UTF8')),'hex'),16))::bit(64)::bigint"
	var key int64
	err := db.Get(&key, recipe, "tenant:42")
	fmt.Println(key, err)
	fmt.Println(key == postgres.Key("tenant:42"))
	// Output:
	// 5430573854015355007 <nil>
	// true
}

// Store copies measurements in: within the unit that ctx carries, or in one of
// its own.
func Store(ctx context.Context, m *uow.Manager, measurements [][]any) (int64, error) {
	return uow.Value(ctx, m, func(ctx context.Context, u *uow.UnitOfWork) (n int64, err error) {
		err = u.Raw(func(driverConn any) error {
			conn := driverConn.(*stdlib.Conn).Conn() // a *pgx.Conn
			n, err = conn.CopyFrom(ctx, pgx.Identifier{"measurement"}, []string{"id", "celsius"}, pgx.CopyFromRows(measurements))
			return err
		})
		return n, err
	})
}

// Raw gives pgx's own connection, inside the unit's transaction, for COPY.
func Example_copyFrom() {
	ctx := context.Background()
	db, closeDB := exampledb.Open("create table measurement (id int primary key, celsius float8 not null)")
	defer closeDB()
	m := uow.New(db, postgres.Dialect())

	fmt.Println(Store(ctx, m, [][]any{{1, 19.5}, {2, 21.0}, {3, 20.5}}))
	_, err := Store(ctx, m, [][]any{{4, 22.0}, {1, 19.5}}) // there is a measurement 1
	fmt.Println(err != nil)

	var n int
	err = db.GetContext(ctx, &n, "select count(*) from measurement")
	fmt.Println(n, err)
	// Output:
	// 3 <nil>
	// true
	// 3 <nil>
}

// Raw gives pgx's own connection for a batch: several statements, one round
// trip.
func Example_batch() {
	ctx := context.Background()
	db, closeDB := exampledb.Open("create table measurement (id int primary key, celsius float8 not null)")
	defer closeDB()
	m := uow.New(db, postgres.Dialect())

	err := m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		return u.Raw(func(driverConn any) error {
			batch := &pgx.Batch{}
			for id, celsius := range []float64{19.5, 21, 20.5} {
				batch.Queue("insert into measurement values ($1, $2)", id, celsius)
			}
			return driverConn.(*stdlib.Conn).Conn().SendBatch(ctx, batch).Close()
		})
	})
	fmt.Println(err)

	var n int
	err = db.GetContext(ctx, &n, "select count(*) from measurement")
	fmt.Println(n, err)
	// Output:
	// <nil>
	// 3 <nil>
}
