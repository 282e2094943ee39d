package engine

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// database is one database. What it holds is guarded by Server.data.
type database struct {
	id      int
	name    string
	created time.Time
	schemas map[string]int
	users   map[string]int
	// objects holds tables, views and procedures under foldName("schema.name").
	objects map[string]object
	nextID  int64

	allowsSnapshot atomic.Bool
	readsSnapshot  atomic.Bool // READ_COMMITTED_SNAPSHOT
	singleUser     atomic.Bool
	readOnly       atomic.Bool
}

// object is a *table or a *module.
type object interface {
	describe() *description
}

// description is what every object has.
type description struct {
	id      int64
	schema  string
	name    string
	created time.Time
}

func (d *description) describe() *description { return d }

// module is a view or a procedure.
type module struct {
	description
	definition *tsql.CreateModule
}

type column struct {
	name     string
	typ      Type
	nullable bool
	exact    bool // a binary or case-sensitive collation
	preset   tsql.Expr
	presetAs string
	identity *tsql.Identity
}

type index struct {
	name       string
	columns    []int
	unique     bool
	primary    bool
	constraint bool
	where      tsql.Expr
}

type check struct {
	name string
	x    tsql.Expr
}

type foreignKey struct {
	name    string
	columns []int
	parent  *table
	target  []int
}

// table holds rows in the order of its primary key, or of their arrival.
type table struct {
	description
	db      *database
	columns []*column
	indexes []*index
	checks  []check
	foreign []foreignKey
	rows    []*row
	byKey   map[string]*row // by primary key
	nextRow int64
	counter int64 // last identity value
	// private is set for table variables and temporary tables, which nobody
	// else can see; variables take no part in transactions.
	private, variable bool
}

// row is a place for versions of a row. With a primary key it is the place of
// that key, also while there is no row.
type row struct {
	id     int64
	key    string
	order  []any
	latest *version
}

// version is one state of a row; nil values are no row. Versions are never
// changed but for their stamp, which is 0 until the writer commits.
type version struct {
	values []any
	writer *transaction
	stamp  uint64
	prev   *version
}

func (t *table) primary() *index {
	for _, i := range t.indexes {
		if i.primary {
			return i
		}
	}
	return nil
}

func (t *table) column(name string) int {
	return slices.IndexFunc(t.columns, func(c *column) bool { return sameName(c.name, name) })
}

// key encodes the columns of an index.
func (t *table) key(i *index, values []any) string {
	picked, exact := make([]any, len(i.columns)), make([]bool, len(i.columns))
	for n, c := range i.columns {
		picked[n], exact[n] = values[c], t.columns[c].exact
	}
	return keyOf(picked, exact)
}

// resource is what is locked for a row.
func (t *table) resource(r *row) locks.Resource {
	if t.primary() != nil {
		return t.keyResource(t.primary(), r.key)
	}
	return locks.Resource{Kind: locks.Row, Database: t.db.id, Object: t.id, Key: strconv.FormatInt(r.id, 10)}
}

// keyResource is what is locked for a key, whether or not a row has it.
func (t *table) keyResource(i *index, key string) locks.Resource {
	if !i.primary {
		key = i.name + "\x00" + key
	}
	return locks.Resource{Kind: locks.Key, Database: t.db.id, Object: t.id, Key: key}
}

func (t *table) whole() locks.Resource {
	return locks.Resource{Kind: locks.Object, Database: t.db.id, Object: t.id}
}

// place returns the row for a key, making it in its order if need be. Without
// a primary key it is the one with that id.
func (t *table) place(id int64, values []any) *row {
	p := t.primary()
	if p == nil {
		r := &row{id: id}
		t.rows = append(t.rows, r)
		return r
	}
	key := t.key(p, values)
	if r := t.byKey[key]; r != nil {
		return r
	}
	r := &row{key: key}
	for _, c := range p.columns {
		r.order = append(r.order, values[c])
	}
	at, _ := slices.BinarySearchFunc(t.rows, r, func(a, b *row) int { return t.compareOrder(p, a, b) })
	t.rows = slices.Insert(t.rows, at, r)
	t.byKey[key] = r
	return r
}

func (t *table) compareOrder(p *index, a, b *row) int {
	for n, c := range p.columns {
		if d := compare(a.order[n], b.order[n], t.columns[c].exact); d != 0 {
			return d
		}
	}
	return 0
}

// forget removes a row without versions.
func (t *table) forget(r *row) {
	if i := slices.Index(t.rows, r); i >= 0 {
		t.rows = slices.Delete(t.rows, i, i+1)
	}
	if r.key != "" && t.byKey[r.key] == r {
		delete(t.byKey, r.key)
	}
}

// current is the state of the row that its last writer left.
func (r *row) current() []any {
	if r.latest == nil {
		return nil
	}
	return r.latest.values
}

// asOf is the state of the row that was committed by stamp, or is tran's own.
func (r *row) asOf(stamp uint64, tran *transaction) []any {
	for v := r.latest; v != nil; v = v.prev {
		if v.writer == tran || v.stamp != 0 && v.stamp <= stamp {
			return v.values
		}
	}
	return nil
}

// changedSince reports whether another transaction committed a change of the
// row after stamp.
func (r *row) changedSince(stamp uint64, tran *transaction) bool {
	return r.latest != nil && r.latest.writer != tran && r.latest.stamp > stamp
}

// live calls f for every state that the row may have when its writers end,
// until f says true.
func (r *row) live(f func(values []any) bool) bool {
	for v := r.latest; v != nil; v = v.prev {
		if v.values != nil && f(v.values) {
			return true
		}
		if v.stamp != 0 {
			return false
		}
	}
	return false
}

// write puts a version on top of a row, to be undone with tran.
func (t *table) write(tran *transaction, r *row, values []any) {
	v := &version{values: values, writer: tran, prev: r.latest}
	if t.variable {
		v.stamp = 1
	}
	r.latest = v
	if t.variable {
		if values == nil {
			t.forget(r)
		}
		return
	}
	tran.owner.Cost.Add(1)
	tran.written = append(tran.written, written{t, r, v})
	tran.undo = append(tran.undo, func() {
		tran.owner.Cost.Add(-1)
		r.latest = v.prev
		if r.latest == nil {
			t.forget(r)
		}
	})
}
