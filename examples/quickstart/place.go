package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
)

// fileScheme begins the connection strings of SQLite.
const fileScheme = "file:"

// settleInFiles makes a directory for temporary files, in which SQLite's file
// and those of its locks will be.
func settleInFiles(_ context.Context, _, name string) (place string, remove func(context.Context) error, err error) {
	folder, err := os.MkdirTemp("", name)
	if err != nil {
		return "", nil, err
	}
	file := url.URL{Path: filepath.ToSlash(filepath.Join(folder, "shop.db"))}
	return fileScheme + file.EscapedPath(), func(context.Context) error { return os.RemoveAll(folder) }, nil
}

// server makes places by statements: schemas, or databases.
type server struct {
	open    func(dsn string) (*sqlx.DB, error)
	create  string   // the place's name follows
	drop    []string // ways of which the first that works will do; %s is the place's name
	setting string   // of the connection string, whose value is the place
}

func (s server) settle(ctx context.Context, dsn, name string) (place string, remove func(context.Context) error, err error) {
	if err := execute(ctx, s.open, dsn, s.create+name); err != nil {
		return "", nil, err
	}
	remove = func(ctx context.Context) error {
		var errs []error
		for _, way := range s.drop {
			err := execute(ctx, s.open, dsn, fmt.Sprintf(way, name))
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	return withSetting(dsn, s.setting, name), remove, nil
}

// execute runs statements on a connection of their own.
func execute(ctx context.Context, open func(string) (*sqlx.DB, error), dsn, statements string) error {
	db, err := open(dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statements)
	return err
}

// withSetting adds a setting to a connection string, a URL or keywords.
func withSetting(dsn, name, value string) string {
	address, err := url.Parse(dsn)
	if err != nil || address.Scheme == "" {
		return dsn + " " + name + "=" + value
	}
	query := address.Query()
	query.Set(name, value)
	address.RawQuery = query.Encode()
	return address.String()
}
