//go:build unix

package peers

import (
	"context"
	"errors"
	"runtime"
	"testing"

	gormpg "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/lockstep-go/lockstep/uow"
)

// PlaceByGorm writes twice, once by the handle that it should not have used.
func PlaceByGorm(ctx context.Context, db *gorm.DB) error {
	return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec(insert, 1).Error; err != nil {
			return err
		}
		if err := db.WithContext(ctx).Exec(insert, 2).Error; err != nil { // not tx
			return err
		}
		return errNoStock
	})
}

// PlaceInUnit writes twice, once by another function with another Manager value.
func PlaceInUnit(ctx context.Context, m *uow.Manager) error {
	return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		if _, err := u.ExecContext(ctx, insert, 1); err != nil {
			return err
		}
		if err := (Shop{m.With(uow.Label("other"))}).Save(ctx, 2); err != nil {
			return err
		}
		return errNoStock
	})
}

func (s *server) gorm() *gorm.DB {
	s.t.Helper()
	db, err := gorm.Open(gormpg.New(gormpg.Config{Conn: s.open().DB}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		s.t.Fatal(err)
	}
	return db
}

func TestHandleOutsideBesideGorm(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := PlaceByGorm(t.Context(), s.gorm()); !errors.Is(err, errNoStock) {
		t.Error(err)
	}
	s.wantEntries("gorm, of a transaction that was rolled back", 1)
	if err := PlaceInUnit(t.Context(), s.manager()); !errors.Is(err, errNoStock) {
		t.Error(err)
	}
	s.wantEntries("unit", 0)
}

// gorm's inner transactions are savepoints, and Goexit rolls back.
func TestWhatGormDoesAsWell(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	err := s.gorm().WithContext(t.Context()).Transaction(func(tx *gorm.DB) error {
		_ = tx.Transaction(func(inner *gorm.DB) error {
			if err := inner.Exec(insert, 2).Error; err != nil {
				t.Error(err)
			}
			return errNoStock
		})
		return tx.Exec(insert, 1).Error
	})
	if err != nil {
		t.Error(err)
	}
	s.wantEntries("gorm, inner failure swallowed", 1)
	apart(func() {
		_ = s.gorm().WithContext(t.Context()).Transaction(func(tx *gorm.DB) error {
			if err := tx.Exec(insert, 1).Error; err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
	})
	s.wantEntries("gorm, Goexit", 0)
}

// The trap that is left in units: a ctx from outside begins a unit of its own.
func TestContextFromOutsideDoesNotJoin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	shop := Shop{s.manager()}
	outside := t.Context()
	err := shop.m.Do(outside, func(context.Context, *uow.UnitOfWork) error {
		if err := shop.Save(outside, 1); err != nil {
			t.Error(err)
		}
		return errNoStock
	})
	if !errors.Is(err, errNoStock) {
		t.Error(err)
	}
	s.wantEntries("unit of a ctx from outside", 1)
}

// An Order is a row for gorm.
type Order struct{ ID int }

// TableName is for gorm.
func (Order) TableName() string { return "entry" }

// SaveByGorm adds an order by gorm, in the unit that ctx carries or one of its
// own. gorm must begin no transactions: the unit is one.
func SaveByGorm(ctx context.Context, m *uow.Manager, order Order) error {
	return m.Do(ctx, func(ctx context.Context, u *uow.UnitOfWork) error {
		db, err := gorm.Open(gormpg.New(gormpg.Config{Conn: u}), &gorm.Config{
			SkipDefaultTransaction: true, DisableAutomaticPing: true, Logger: logger.Discard,
		})
		if err != nil {
			return err
		}
		return db.WithContext(ctx).Create(&order).Error
	})
}

func TestGormInUnit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	m := s.manager()
	place := func(verdict error) error {
		return m.Do(t.Context(), func(ctx context.Context, u *uow.UnitOfWork) error {
			if _, err := u.ExecContext(ctx, insert, 1); err != nil {
				return err
			}
			if err := SaveByGorm(ctx, m, Order{2}); err != nil {
				return err
			}
			return verdict
		})
	}
	if err := place(nil); err != nil {
		t.Error(err)
	}
	s.wantEntries("gorm in a unit", 2)
	if err := place(errNoStock); !errors.Is(err, errNoStock) {
		t.Error(err)
	}
	s.wantEntries("gorm in a unit that was rolled back", 0)
	err := m.Do(t.Context(), func(ctx context.Context, _ *uow.UnitOfWork) error {
		if err := SaveByGorm(ctx, m, Order{3}); err != nil {
			return err
		}
		_ = SaveByGorm(ctx, m, Order{3}) // a duplicate, swallowed
		return nil
	})
	var undone *uow.UnexpectedRollbackError
	if !errors.As(err, &undone) {
		t.Errorf("a swallowed error of gorm: %v", err)
	}
	s.wantEntries("gorm's error swallowed", 0)
}
