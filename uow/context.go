package uow

import "context"

type (
	unitKey    struct{}
	managerKey struct{}
)

// NewContext returns a ctx that carries m for the package-level Do, such as the
// Manager of one request's tenant.
func NewContext(ctx context.Context, m *Manager) context.Context {
	return context.WithValue(ctx, managerKey{}, m)
}

// Do is Manager.Do on the Manager that NewContext put into ctx. It returns
// ErrNoManager when there is none.
func Do(ctx context.Context, fn Func, opts ...Option) error {
	m, _ := ctx.Value(managerKey{}).(*Manager)
	return m.Do(ctx, fn, opts...)
}

// Value is Manager.Do for a function that returns a value. The value is the
// zero value unless the error is nil.
func Value[T any](ctx context.Context, m *Manager, fn func(context.Context, *UnitOfWork) (T, error), opts ...Option) (T, error) {
	var value T
	var work Func
	if fn != nil {
		work = func(ctx context.Context, u *UnitOfWork) (err error) {
			value, err = fn(ctx, u)
			return err
		}
	}
	if err := m.Do(ctx, work, opts...); err != nil {
		var zero T
		return zero, err
	}
	return value, nil
}

// FromContext returns the innermost unit that ctx carries, of whatever Manager.
// A unit that has ended is returned as well: its methods report ErrDone, where
// falling back to the pool would write outside the transaction.
func FromContext(ctx context.Context) (*UnitOfWork, bool) {
	u, _ := ctx.Value(unitKey{}).(*UnitOfWork)
	return u, u != nil
}

// Detach returns a ctx that carries no unit, for work that must not join: a
// background job started from inside a unit. Deadline and cancellation stay.
func Detach(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, holdKey{}, (*hold)(nil))
	return context.WithValue(ctx, unitKey{}, (*UnitOfWork)(nil))
}

// lookup returns the innermost scope of c's units that ctx carries.
func (c *core) lookup(ctx context.Context) *UnitOfWork {
	u, _ := ctx.Value(unitKey{}).(*UnitOfWork)
	for u != nil && u.unit.core != c {
		u = u.outer
	}
	return u
}
