package uow_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/dialect/postgres"
	"github.com/lockstep-go/lockstep/integration/servers/serverstest"
	"github.com/lockstep-go/lockstep/internal/docs/exampledb"
	"github.com/lockstep-go/lockstep/internal/faultproxy"
	"github.com/lockstep-go/lockstep/uow"
)

func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }

// shopTables are the tables that the Examples of this package write to.
var shopTables = []string{
	"create table stock (article text primary key, quantity int not null)",
	"create table orders (id int primary key, article text not null references stock, quantity int not null)",
	"create table audit (entry text not null)",
	"insert into stock values ('lamp', 5)",
}

// openShop returns a Manager on a database with five lamps in stock and no
// orders, and the function that drops it.
func openShop() (*uow.Manager, func()) {
	db, drop := exampledb.Open(shopTables...)
	return uow.New(db, postgres.Dialect()), drop
}

// openShopWithLostReply is openShop, save that the connection is cut once the
// server has committed, so that its answer to the first COMMIT is lost.
func openShopWithLostReply() (*uow.Manager, func()) {
	dsn, drop := exampledb.New()
	through, closeProxy := cutAfterCommit(dsn)
	db, err := postgres.Open(through)
	if err != nil {
		panic(err)
	}
	for _, statement := range shopTables {
		db.MustExec(statement)
	}
	return uow.New(db, postgres.Dialect()), func() {
		_ = db.Close()
		closeProxy()
		drop()
	}
}

// cutAfterCommit puts a proxy before the server of dsn.
func cutAfterCommit(dsn string) (through string, closeProxy func()) {
	address, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	proxy, err := faultproxy.Start(address.Host)
	if err != nil {
		panic(err)
	}
	proxy.Rule(func(m faultproxy.Message) bool { return strings.HasSuffix(m.SQL, "commit") }, faultproxy.CutAfter)
	address.Host = proxy.Addr()
	return address.String(), func() { _ = proxy.Close() }
}

// printShop prints how many orders the database holds and how many lamps are
// left.
func printShop(ctx context.Context, db *sqlx.DB) {
	var orders, lamps int
	err := db.QueryRowxContext(ctx, "select (select count(*) from orders), quantity from stock where article = 'lamp'").Scan(&orders, &lamps)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("orders: %d, lamps left: %d\n", orders, lamps)
}
