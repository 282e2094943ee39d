package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// tables are what the story needs, in a home of its own. %s is the type of a
// column that numbers rows.
const tables = `
	create table stock (article varchar(40) primary key, quantity int not null);
	create table orders (id int primary key, article varchar(40) not null references stock, quantity int not null);
	create table tenant (id int primary key, version int not null);
	-- Nothing here keeps a step from being logged twice. The lock has to.
	create table upgrade_log (seq %s, step int not null, worker varchar(40) not null);
	insert into stock values ('lamp', 5);
	insert into tenant values (42, 0);`

// home is where the story's tables are: a schema in PostgreSQL, a database in
// SQL Server, a file of SQLite.
type home struct {
	product
	place string // the home's own name
	dsn   string // connections make and find their tables in the home
	empty func(context.Context) error
}

// createHome makes a home with the story's tables.
func createHome(ctx context.Context, dsn string) (*home, error) {
	h := &home{product: productOf(dsn), place: "quickstart_" + strings.ToLower(rand.Text())}
	var err error
	if h.dsn, h.empty, err = h.settle(ctx, dsn, h.place); err != nil {
		return nil, err
	}
	if err := execute(ctx, h.open, h.dsn, fmt.Sprintf(tables, h.serial)); err != nil {
		return nil, errors.Join(err, h.remove())
	}
	return h, nil
}

// remove drops the home with all that is in it, also when the story was
// interrupted.
func (h *home) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return h.empty(ctx)
}
