package mssql_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines left behind, save those that go-mssqldb leaves by
// its issue 407: its reader, and whoever waits for that.
func TestMain(m *testing.M) {
	const reader = "github.com/microsoft/go-mssqldb.(*tdsSession).startResponseReader"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(reader), goleak.IgnoreAnyFunction(reader+".func1"))
}
