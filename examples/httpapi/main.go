// Command httpapi is a small HTTP service whose handlers write in short
// transactions that they begin and end themselves. Whichever way a handler
// returns, nothing is written unless its Commit returned nil.
//
//	go run ./examples/httpapi [-db ADDRESS] [-listen HOST:PORT]
//
//	curl -i -d id=a1 -d customer=7 -d article=lamp http://127.0.0.1:8080/orders
//	curl -i http://127.0.0.1:8080/orders/a1
//
// Without -db everything is in a SQLite file that is removed at the end. ADDRESS
// is the path of a SQLite file or the URL of a PostgreSQL, where the tables
// api_order and api_stock are made and kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lockstep-go/lockstep/examples/internal/anydb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "httpapi:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("httpapi", flag.ContinueOnError)
	address := flags.String("db", "", "`ADDRESS` of the database: postgres://… or a SQLite file (default: a SQLite file that is removed at the end)")
	listen := flags.String("listen", "127.0.0.1:8080", "`HOST:PORT` to serve on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *address == "" {
		folder, err := os.MkdirTemp("", "httpapi")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		*address = filepath.Join(folder, "api.db")
	}
	m, err := anydb.Open(*address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.DB().Close()) }()
	if err := createTables(ctx, m); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving on http://%v\n", listener.Addr())
	return serve(ctx, listener, newAPI(m).routes())
}

// drain is how long requests under way may take when the service is stopped.
const drain = 10 * time.Second

// serve answers requests until ctx ends, and those under way after that.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	return <-stopped
}
