package database

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/jmoiron/sqlx"
	driver "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
	"github.com/lockstep-go/lockstep/dialect/mssql"
	"github.com/lockstep-go/lockstep/uow"
)

func mssqlProduct() Product {
	return Product{
		ID: "mssql", Name: "SQL Server", schemes: []string{"sqlserver"},
		open: mssql.Open, dialect: func() dialect.Dialect { return mssql.Dialect() },
		recipe: mssqlRecipe, end: endMSSQL,
	}
}

func mssqlRecipe(_, name string, mode applock.Mode) (Recipe, error) {
	word := "Exclusive"
	if mode == applock.ModeShared {
		word = "Shared"
	}
	resource := mssql.Resource(name)
	code := "BEGIN TRANSACTION;\n" +
		"DECLARE @resource nvarchar(255) = " + transactSQL(resource) + ", @status int;\n" +
		"EXEC @status = sp_getapplock @Resource = @resource, @LockMode = '" + word + "', @LockOwner = 'Transaction', @LockTimeout = 60000;\n" +
		"IF @status < 0 THROW 50000, 'not granted', 1;\n" +
		"-- the work\n" +
		"COMMIT;"
	return Recipe{What: "resource", Key: resource, Code: code}, nil
}

// transactSQL quotes a text. A backslash before a line's end would vanish, so
// control characters are given by their numbers.
func transactSQL(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return r < ' ' }) < 0 {
		return "N'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	var bytes []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		bytes = append(bytes, byte(unit), byte(unit>>8))
	}
	return fmt.Sprintf("CAST(0x%x AS nvarchar(255))", bytes)
}

// The server's numbers for a session that has gone, and for what a login may
// not do.
const (
	notASession  = 6106
	mayNotKill   = 6102
	mayNotKill22 = 300
)

func endMSSQL(ctx context.Context, db *sqlx.DB, name string, holder applock.Session) error {
	id, err := strconv.Atoi(holder.ID)
	if err != nil {
		return err
	}
	// KILL takes no condition: that the session still holds the lock is asked
	// just before.
	status, err := applock.Inspect(ctx, uow.New(db, mssql.Dialect()), name)
	if err != nil || !holds(status[0], holder) {
		return err
	}
	_, err = db.ExecContext(ctx, "KILL "+strconv.Itoa(id))
	var answer driver.Error
	if errors.As(err, &answer) {
		switch answer.Number {
		case notASession:
			return nil
		case mayNotKill, mayNotKill22:
			return fmt.Errorf("%w: %s", ErrNotPermitted, answer.Message)
		}
	}
	return err
}

// holds reports whether the session holds the lock in the transaction in which
// it was seen.
func holds(status applock.Status, holder applock.Session) bool {
	for _, s := range status.Holders {
		if s.ID == holder.ID && s.Since.Equal(holder.Since) {
			return true
		}
	}
	return false
}
