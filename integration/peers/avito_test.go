//go:build unix

package peers

import (
	"context"
	"errors"
	"runtime"
	"testing"

	trmsqlx "github.com/avito-tech/go-transaction-manager/drivers/sqlx/v2"
	"github.com/avito-tech/go-transaction-manager/trm/v2/manager"
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/uow"
)

// An AvitoShop writes by avito-tech/go-transaction-manager.
type AvitoShop struct {
	db *sqlx.DB
	m  *manager.Manager
}

// Save adds an order, in the transaction that ctx carries or one of its own.
func (s AvitoShop) Save(ctx context.Context, id int) error {
	return s.m.Do(ctx, func(ctx context.Context) error {
		_, err := trmsqlx.DefaultCtxGetter.DefaultTrOrDB(ctx, s.db).ExecContext(ctx, insert, id)
		return err
	})
}

// Take finds nothing to take, after it has written something.
func (s AvitoShop) Take(ctx context.Context, id int) error {
	return s.m.Do(ctx, func(ctx context.Context) error {
		if err := s.Save(ctx, id); err != nil {
			return err
		}
		return errNoStock
	})
}

// Place forgets to look at what Take returned.
func (s AvitoShop) Place(ctx context.Context) error {
	return s.m.Do(ctx, func(ctx context.Context) error {
		if err := s.Save(ctx, 1); err != nil {
			return err
		}
		_ = s.Take(ctx, 2)
		return nil
	})
}

// A Shop writes in units of work.
type Shop struct{ m *uow.Manager }

// Save adds an order, in the unit that ctx carries or one of its own.
func (s Shop) Save(ctx context.Context, id int) error {
	return s.m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, insert, id)
		return err
	})
}

// Take finds nothing to take, after it has written something.
func (s Shop) Take(ctx context.Context, id int) error {
	return s.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		if err := s.Save(ctx, id); err != nil {
			return err
		}
		return errNoStock
	})
}

// Place forgets to look at what Take returned.
func (s Shop) Place(ctx context.Context) error {
	return s.m.Do(ctx, func(ctx context.Context, _ *uow.UnitOfWork) error {
		if err := s.Save(ctx, 1); err != nil {
			return err
		}
		_ = s.Take(ctx, 2)
		return nil
	})
}

func (s *server) avito() AvitoShop {
	s.t.Helper()
	db := s.open()
	m, err := manager.New(trmsqlx.NewDefaultFactory(db))
	if err != nil {
		s.t.Fatal(err)
	}
	return AvitoShop{db, m}
}

// What a joined function that failed has written: committed there, undone here.
func TestSwallowedErrorBesideAvito(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := s.avito().Place(t.Context()); err != nil {
		t.Errorf("avito: %v", err)
	}
	s.wantEntries("avito", 2)

	err := Shop{s.manager()}.Place(t.Context())
	var undone *uow.UnexpectedRollbackError
	if !errors.As(err, &undone) || !errors.Is(err, errNoStock) {
		t.Errorf("unit: %v", err)
	}
	s.wantEntries("unit", 0)
}

// apart runs a function on a goroutine of its own, which it may end.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// A function that runtime.Goexit ended, as t.FailNow does: committed there,
// undone here.
func TestGoexitBesideAvito(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	shop := s.avito()
	apart(func() {
		_ = shop.m.Do(t.Context(), func(ctx context.Context) error {
			if err := shop.Save(ctx, 1); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
	})
	s.wantEntries("avito", 1)

	own := Shop{s.manager()}
	apart(func() {
		_ = own.m.Do(t.Context(), func(ctx context.Context, _ *uow.UnitOfWork) error {
			if err := own.Save(ctx, 1); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
	})
	s.wantEntries("unit", 0)
}
