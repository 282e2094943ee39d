package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

// api are the handlers of the service.
type api struct {
	m       *uow.Manager
	timeout time.Duration // of a unit of work in a request
	wait    time.Duration // for another request of the same customer
}

func newAPI(m *uow.Manager) api { return api{m, 5 * time.Second, 2 * time.Second} }

func (a api) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range map[string]http.HandlerFunc{
		"POST /orders":     a.buy,
		"GET /orders/{id}": a.show,
		"GET /sold-out":    a.soldOut,
	} {
		mux.Handle(pattern, a.withManager(pattern, handler))
	}
	return mux
}

// withManager puts a Manager into the ctx of every request, for functions that
// are handed nothing but the ctx: uow.Do finds it. Its units are named after the
// route, for those who look at the database's sessions. A service with a
// database for each tenant would choose the tenant's Manager here.
func (a api) withManager(pattern string, next http.Handler) http.Handler {
	m := a.m.With(uow.Label(pattern), uow.Timeout(a.timeout))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(uow.NewContext(r.Context(), m)))
	})
}

// buy sells an article to a customer who has not ordered it before. It begins
// its transaction after all that needs no database, and does nothing in it that
// could keep it waiting for somebody else than the database.
func (a api) buy(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	// r.Context() ends when the client hangs up: then whatever waits stops
	// waiting, and nothing is written.
	ctx, scope, err := a.m.Begin(r.Context(), uow.Label("POST /orders"), uow.Timeout(a.timeout),
		applock.With(applock.Exclusive(fmt.Sprintf("customer:%d", o.Customer)).Wait(a.wait)))
	if err != nil {
		fail(w, r, err)
		return
	}
	defer scope.Close() // rolls back, unless Commit came before

	if err := checkArticle(ctx, o.Article); err != nil {
		fail(w, r, err)
		return
	}
	if known, err := hasOrdered(ctx, o.Customer, o.Article); err != nil {
		fail(w, r, err)
		return
	} else if known {
		http.Error(w, "ordered already", http.StatusConflict)
		return
	}
	if err := saveOrder(ctx, o); err != nil {
		fail(w, r, err)
		return
	}
	if err := takeFromStock(ctx, o.Article); errors.Is(err, errSoldOut) {
		http.Redirect(w, r, "/sold-out", http.StatusSeeOther)
		return // the order is rolled back
	} else if err != nil {
		fail(w, r, err)
		return
	}
	if err := scope.Commit(ctx); err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Location", "/orders/"+o.ID)
	w.WriteHeader(http.StatusCreated)
}

// show tells of one order. On SQLite, who only reads does not wait for writers.
func (a api) show(w http.ResponseWriter, r *http.Request) {
	var o order
	err := uow.Do(r.Context(), func(ctx context.Context, _ *uow.UnitOfWork) (err error) {
		o, err = findOrder(ctx, r.PathValue("id"))
		return err
	}, uow.ReadOnly())
	if errors.Is(err, sql.ErrNoRows) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	fmt.Fprintf(w, "customer %d ordered a %s\n", o.Customer, o.Article)
}

func (a api) soldOut(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "sold out; come again")
}

// fail answers for what went wrong with the client's order or the database.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	var doubt *uow.InDoubtError
	switch {
	case r.Context().Err() != nil:
		return // nobody listens any more
	case errors.Is(err, applock.ErrTimeout):
		w.Header().Set("Retry-After", "1")
		http.Error(w, "another order of this customer is under way", http.StatusServiceUnavailable)
		return
	case errors.Is(err, errNoArticle):
		http.Error(w, errNoArticle.Error(), http.StatusUnprocessableEntity)
		return
	case errors.Is(err, errTaken):
		http.Error(w, errTaken.Error(), http.StatusConflict)
		return
	case errors.As(err, &doubt):
		// The client named the order, so it can find out.
		http.Error(w, "it is not known whether this was saved; look before you try again", http.StatusBadGateway)
	default:
		http.Error(w, "not saved", http.StatusInternalServerError)
	}
	slog.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
}

// createTables may be called by any number of processes at once.
func createTables(ctx context.Context, m *uow.Manager) error {
	return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		for _, statement := range tables {
			if _, err := u.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}, applock.With(applock.Exclusive("api:tables")))
}
