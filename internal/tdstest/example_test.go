package tdstest_test

import (
	"context"
	"database/sql"
	"fmt"

	_ "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/internal/tdstest"
)

// A COMMIT whose reply is lost: the client sees an error, and the row is there.
func Example() {
	server, err := tdstest.Start()
	if err != nil {
		panic(err)
	}
	defer func() { _ = server.Close() }()
	db, err := sql.Open("sqlserver", server.URL("sa", "any", "master"))
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()

	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id int NOT NULL)"); err != nil {
		panic(err)
	}
	server.Inject(tdstest.Match{Operation: tdstest.OperationCommit}, tdstest.Fault{Cut: tdstest.CutBeforeReply})
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		panic(err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES (@p1)", 7); err != nil {
		panic(err)
	}
	fmt.Println("commit failed:", tx.Commit() != nil)

	var count int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM orders").Scan(&count); err != nil {
		panic(err)
	}
	fmt.Println("rows:", count)
	// Output:
	// commit failed: true
	// rows: 1
}
