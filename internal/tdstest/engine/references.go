package engine

import (
	"slices"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

// checkParents refuses a row whose foreign keys name no row.
func (x *exec) checkParents(t *table, values []any, verb string) error {
	for _, f := range t.foreign {
		key := pick(values, f.columns)
		if slices.Contains(key, nil) {
			continue
		}
		if p := f.parent.primary(); p != nil && slices.Equal(p.columns, f.target) {
			k := keyOf(key, f.parent.exactness(f.target))
			if err := x.lock(f.parent.keyResource(p, k), locks.S); err != nil {
				return err
			}
			x.held = append(x.held, f.parent.keyResource(p, k))
		}
		if !x.anyRow(f.parent, f.target, key) {
			return fault(547, "The %s statement conflicted with the FOREIGN KEY constraint \"%s\". The conflict occurred in database \"%s\", table \"%s.%s\".",
				verb, f.name, t.db.name, f.parent.schema, f.parent.name)
		}
	}
	return nil
}

// checkChildren refuses to take away a key that rows of other tables name.
func (x *exec) checkChildren(t *table, h hit) error {
	for _, child := range x.children(t) {
		for _, f := range child.foreign {
			key := pick(h.old, f.target)
			if f.parent != t || slices.Contains(key, nil) || x.anyRow(t, f.target, key) || !x.anyRow(child, f.columns, key) {
				continue
			}
			verb := "UPDATE"
			if h.next == nil {
				verb = "DELETE"
			}
			return fault(547, "The %s statement conflicted with the REFERENCE constraint \"%s\". The conflict occurred in database \"%s\", table \"%s.%s\".",
				verb, f.name, t.db.name, child.schema, child.name)
		}
	}
	return nil
}

func (x *exec) children(t *table) []*table {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	var all []*table
	for _, o := range t.db.objects {
		if c, ok := o.(*table); ok && slices.ContainsFunc(c.foreign, func(f foreignKey) bool { return f.parent == t }) {
			all = append(all, c)
		}
	}
	return all
}

// anyRow reports whether a row of t has these values in these columns.
func (x *exec) anyRow(t *table, columns []int, key []any) bool {
	x.server.data.Lock()
	defer x.server.data.Unlock()
	exact := t.exactness(columns)
	want := keyOf(key, exact)
	return slices.ContainsFunc(t.rows, func(r *row) bool {
		v := r.current()
		return v != nil && keyOf(pick(v, columns), exact) == want
	})
}

func pick(values []any, columns []int) []any {
	out := make([]any, len(columns))
	for i, c := range columns {
		out[i] = values[c]
	}
	return out
}

func (t *table) exactness(columns []int) []bool {
	exact := make([]bool, len(columns))
	for i, c := range columns {
		exact[i] = t.columns[c].exact
	}
	return exact
}
