package engine

import (
	"slices"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// output is the OUTPUT clause of a statement.
type output struct {
	items []bound
	cols  []result
	into  *table
	rows  [][]any
}

// planOutput binds OUTPUT to the columns of inserted and deleted.
func (x *exec) planOutput(o *tsql.Output, t *table) (*output, error) {
	if o == nil {
		return &output{}, nil
	}
	b := newBinder(x, nil)
	for n, name := range []string{"deleted", "inserted"} {
		for _, c := range t.columns {
			b.cols = append(b.cols, binding{table: name, name: c.name, typ: c.typ, nullable: true, exact: c.exact, source: n})
		}
	}
	p := &selectPlan{x: x, b: b}
	if err := p.selectList(&tsql.Select{Items: o.Items}); err != nil {
		return nil, err
	}
	out := &output{items: p.items, cols: p.cols}
	if o.Into != nil {
		var err error
		if out.into, err = x.targetTable(*o.Into); err != nil {
			return nil, err
		}
		if len(out.items) != len(out.into.columns) {
			return nil, fault(213, "Column name or number of supplied values does not match table definition.")
		}
	}
	return out, nil
}

// add computes the row of output for one changed row.
func (o *output) add(x *exec, deleted, inserted []any) error {
	if o.items == nil {
		return nil
	}
	width := max(len(deleted), len(inserted))
	both := make([]any, 2*width)
	copy(both, deleted)
	copy(both[width:], inserted)
	row, err := evaluate(o.items, &env{x: x, row: both})
	o.rows = append(o.rows, row)
	return err
}

// store puts the rows of OUTPUT INTO in their table.
func (o *output) store(x *exec) error {
	if o.into == nil {
		return nil
	}
	if err := x.intend(o.into, locks.IX); err != nil {
		return err
	}
	for _, r := range o.rows {
		values := slices.Clone(r)
		for i := range values {
			var err error
			if values[i], err = o.into.fit(i, value{o.cols[i].typ, values[i]}); err != nil {
				return err
			}
		}
		if err := x.addRow(o.into, values); err != nil {
			return err
		}
	}
	return nil
}

func (o *output) sends() bool { return o.items != nil && o.into == nil }

// send sends the rows as a result.
func (o *output) send(x *exec) {
	if !o.sends() {
		return
	}
	out := x.out.token()
	out.Columns(columnsOf(o.cols))
	for _, r := range o.rows {
		out.Row(externalRow(r))
	}
}
