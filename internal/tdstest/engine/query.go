package engine

import (
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// query runs a SELECT: it sends its rows, or sets variables.
func (x *exec) query(q *tsql.Query) error {
	if q.Selects[0].Into != nil {
		return x.selectInto(q)
	}
	for _, s := range q.Selects {
		for _, item := range s.Items {
			if item.Assign != "" {
				return x.assign(q)
			}
		}
	}
	var sent int64
	begun := false
	err := x.atomically(func() error {
		p, err := planQuery(x, q, nil)
		if err != nil {
			return err
		}
		x.out.token().Columns(columnsOf(p.cols))
		begun = true
		return p.run(nil, func(row []any) error {
			x.out.out.Row(externalRow(row))
			sent++
			return x.interrupted()
		})
	})
	if f, ok := err.(*failure); ok && begun && x.catchable(f) {
		x.out.done(0, cmdSelect, 0) // the result ends, the error goes to its handler
	}
	if err != nil {
		return err
	}
	x.counted(cmdSelect, sent, true)
	return nil
}

func columnsOf(cols []result) []Column {
	all := make([]Column, len(cols))
	for i, c := range cols {
		all[i] = Column{Name: c.name, Type: c.typ, Nullable: c.nullable}
	}
	return all
}

func externalRow(row []any) []any {
	out := make([]any, len(row))
	for i, v := range row {
		out[i] = external(v)
	}
	return out
}

// assign runs SELECT @v = x. With several rows the last one stays; with none
// the variables keep their values.
func (x *exec) assign(q *tsql.Query) error {
	s := *q.Selects[0]
	s.Items = nil
	var targets []*value
	for _, item := range q.Selects[0].Items {
		if item.Assign == "" || len(q.Selects) > 1 {
			return fault(141, "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.")
		}
		v, err := x.variable(item.Assign)
		if err != nil {
			return err
		}
		e := item.X
		if item.Op != "=" {
			e = &tsql.Operation{Op: item.Op, L: &tsql.Variable{Name: item.Assign}, R: item.X}
		}
		targets = append(targets, v)
		s.Items = append(s.Items, tsql.SelectItem{X: e})
	}
	one := *q
	one.Selects = []*tsql.Select{&s}
	var n int64
	err := x.atomically(func() error {
		p, err := planQuery(x, &one, nil)
		if err != nil {
			return err
		}
		return p.run(nil, func(row []any) error {
			n++
			for i, v := range targets {
				if v.v, err = convert(row[i], p.cols[i].typ, v.typ, 0); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	x.counted(cmdSelect, n, false)
	return nil
}
