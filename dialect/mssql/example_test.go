package mssql_test

import (
	"context"
	"fmt"

	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/uow"
)

// Connect makes the one Manager of a database, whose units leave a row that
// tells of their commit.
func Connect(ctx context.Context, dsn string) (*uow.Manager, error) {
	db, err := mssql.Open(dsn)
	if err != nil {
		return nil, err
	}
	if err := mssql.CreateOutcomeTable(ctx, db, "dbo.outcome"); err != nil {
		return nil, err
	}
	return uow.New(db, mssql.Dialect(mssql.WithOutcomeTable("dbo.outcome"))), nil
}

// A script in another language takes the same lock by its resource.
func ExampleResource() {
	fmt.Println(mssql.Resource("tenant:42"))
	// Output: tenant:42
}
