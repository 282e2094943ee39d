package postgres

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-go/lockstep/dialect"
)

// errSnapshotDefault says that the database's default isolation reads from one
// snapshot, so that locks must be taken before it.
var errSnapshotDefault = errors.New("postgres: default isolation reads from a snapshot")

// profile is what the first locks taken on a connection have shown of its
// server. That a session has no limits may change; see endedByLimit.
type profile struct {
	limits   bool // the session has a lock_timeout or statement_timeout
	snapshot bool // its default isolation reads from one snapshot
}

// probe asks, beside the first lock of a connection, whether locks mean
// anything here: a standby has its own, and some engines that speak PostgreSQL's
// protocol grant every lock.
func probe(l dialect.Lock) string {
	key := Key(l.Name)
	return "select pg_catalog.pg_is_in_recovery()," +
		"pg_catalog.current_setting('lock_timeout'),pg_catalog.current_setting('statement_timeout')," +
		"exists(select from pg_catalog.pg_locks where " + keyCondition([]int64{key}) + " and pid=pg_catalog.pg_backend_pid() and granted)"
}

func readProbe(r row) (*profile, error) {
	if len(r) != 4 {
		return nil, &dialect.Error{Kind: dialect.Unsupported, Detail: "the server does not answer as PostgreSQL does"}
	}
	if isTrue(r[0]) {
		return nil, &dialect.Error{Kind: dialect.Unsupported, Detail: "the server is a standby, whose locks exclude nobody on its primary"}
	}
	if !isTrue(r[3]) {
		return nil, &dialect.Error{Kind: dialect.Unsupported, Detail: "the server's advisory locks do nothing"}
	}
	return &profile{limits: r[1] != "0" || r[2] != "0"}, nil
}

func isTrue(text string) bool { return text == "t" || text == "true" }

// stateColumns yield, beside a statement's result, the isolation in force and
// the session: behind a pooler the driver does not know the latter.
const stateColumns = ",pg_catalog.current_setting('transaction_isolation'),pg_catalog.pg_backend_pid()::text"

// lockAtBegin begins and takes the locks, in one message on a native wire.
func (t *tx) lockAtBegin(ctx context.Context, first opening, b dialect.Begin) error {
	if known := knownProfile(t.wire); known != nil && !known.limits && !limited(b.Locks) && t.native.link.prepares() {
		return t.lockByPrepared(ctx, first, b, known)
	}
	return t.lockByScript(ctx, first, b)
}

// lockByPrepared is lockByScript for the usual case.
func (t *tx) lockByPrepared(ctx context.Context, first opening, b dialect.Begin, known *profile) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	isolation, failed, err := t.native.lockPrepared(ctx, first, b.Locks)
	switch {
	case err != nil && t.native.link.lost(err):
		if err := t.native.use(func(c *pgx.Conn) error { return t.native.link.undoBegun(c.PgConn()) }); err != nil {
			return err
		}
		return t.lockByScript(ctx, first, b)
	case err != nil && ctx.Err() == nil && endedByLimit(err):
		return t.lockUnlimited(ctx, first, b, known)
	case err != nil:
		return lockError(t.wire, b.Locks, failed, err, "rollback")
	}
	t.identity.session, t.proven = t.native.link.pid, t.native.link.known
	return t.refuseSnapshotDefault(isolation, known)
}

// lockUnlimited begins again after a limit of the session's has struck that was
// not there when its profile was taken.
func (t *tx) lockUnlimited(ctx context.Context, first opening, b dialect.Begin, known *profile) error {
	known.limits = true
	if err := abandonBegin(t.wire); err != nil {
		return err
	}
	return t.lockByScript(ctx, first, b)
}

// refuseSnapshotDefault gives the transaction up where its locks were granted
// after its snapshot was taken.
func (t *tx) refuseSnapshotDefault(isolation string, known *profile) error {
	if !isSnapshotLevel(isolation) {
		return nil
	}
	known.snapshot = true
	return errors.Join(abandonBegin(t.wire), errSnapshotDefault)
}

// lockByScript uses the simple protocol, which needs nothing prepared.
func (t *tx) lockByScript(ctx context.Context, first opening, b dialect.Begin) error {
	w := t.wire
	known := knownProfile(w)
	guarded := known == nil || known.limits || limited(b.Locks)
	now := immediate(b.Locks)
	var s script
	s.add(first.statements()...)
	switch {
	case now:
		s.lock(0, attempt(b.Locks))
	case guarded:
		s.add(saveLimits, liftLimits)
		s.take(byTransaction, b.Locks)
		s.add(restoreLimits)
	default:
		s.take(byTransaction, b.Locks)
	}
	locked := len(s.statements)
	s.statements[s.first()] += stateColumns
	if known == nil {
		s.add(probe(b.Locks[0]))
	}
	rows, err := w.run(ctx, s.statements...)
	if neverBegan(w, len(rows), err) {
		return undoBegin(w, err)
	}
	if err != nil && !guarded && ctx.Err() == nil && endedByLimit(err) {
		return t.lockUnlimited(ctx, first, b, known)
	}
	if err != nil {
		return lockError(w, b.Locks, s.failed(len(rows)), err, "rollback")
	}
	if refused := refusedAttempt(now, rows[s.first()]); refused >= 0 {
		return lockError(w, b.Locks, refused, &dialect.Error{Kind: dialect.LockTimeout}, "rollback")
	}
	if known == nil {
		known, err = learn(w, rows[locked])
	}
	t.answeredBy(rows[s.first()][2])
	if err != nil {
		return err
	}
	return t.refuseSnapshotDefault(rows[s.first()][1], known)
}

// answeredBy takes the server's process that granted locks.
func (t *tx) answeredBy(pid string) {
	t.identity.session = pid
	if t.native != nil {
		t.native.link.answeredBy(pid)
	}
}

// endedByLimit reports whether a wait without limit was ended by one that the
// session has been given since its profile was taken.
func endedByLimit(err error) bool {
	kind := d{}.Classify(err)
	return kind == dialect.LockTimeout || kind == dialect.Cancelled
}

func knownProfile(w wire) *profile {
	if n, ok := w.(*native); ok {
		return n.link.profile
	}
	return nil
}

// learn keeps what a probe found, or ends the transaction that it forbids.
func learn(w wire, r row) (*profile, error) {
	p, err := learned(w, r)
	if err != nil {
		return nil, errors.Join(err, abandonBegin(w))
	}
	return p, nil
}

// learned keeps what a probe found.
func learned(w wire, r row) (*profile, error) {
	p, err := readProbe(r)
	if n, ok := w.(*native); ok && err == nil {
		n.link.profile = p
	}
	return p, err
}

func isSnapshotLevel(level string) bool {
	return level == "repeatable read" || level == "serializable"
}

// refusedAttempt returns the index that attempt yielded, -1 if all were granted.
func refusedAttempt(attempted bool, r row) int {
	if !attempted {
		return -1
	}
	refused, err := strconv.Atoi(r[0])
	if err != nil {
		return 0
	}
	return refused
}

// abandonBegin rolls back a transaction that has met no error.
func abandonBegin(w wire) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if _, err := w.last(ctx, "rollback"); err != nil {
		return &dialect.Error{Kind: dialect.ConnectionLost, Err: err, Poisoned: true}
	}
	return nil
}

// lockBeforeSnapshot begins a transaction whose snapshot is younger than its
// locks. The first statement fixes the snapshot, so the lock's own wait would
// make it stale. Therefore the session takes the locks in a transaction that is
// then replaced by the real one, which takes them again, at once, before the
// session gives its own back. COMMIT AND CHAIN replaces it without a moment
// outside a transaction, so that the connection cannot change hands at a
// transaction pooler in between.
func (t *tx) lockBeforeSnapshot(ctx context.Context, first opening, b dialect.Begin) error {
	w := t.wire
	var s script
	s.add(first.statements()...)
	s.add(saveLimits, liftLimits)
	s.take(bySession, b.Locks)
	s.add("commit and chain")
	s.add(first.settings()...)
	s.add("select " + strings.Join(allCalls(byTransaction, b.Locks), ","))
	s.add("select " + strings.Join(allCalls(sessionUnlock, b.Locks), ","))
	unlocked := len(s.statements) - 1
	s.statements[s.first()] += stateColumns
	known := knownProfile(w)
	if known == nil {
		s.add(probe(b.Locks[0]))
	}
	rows, err := w.run(ctx, s.statements...)
	if neverBegan(w, len(rows), err) {
		return undoBegin(w, err)
	}
	if err != nil {
		return lockError(w, b.Locks, s.failed(len(rows)), err, unlockStatements(b.Locks)...)
	}
	for _, freed := range rows[unlocked] {
		if !isTrue(freed) {
			return &dialect.Error{Kind: dialect.ConnectionLost, Detail: "a session lock vanished", Poisoned: true}
		}
	}
	if known == nil {
		_, err = learn(w, rows[unlocked+1])
	}
	t.answeredBy(rows[s.first()][2])
	return err
}

// first returns the index of the first statement that takes a lock.
func (s *script) first() int { return slices.IndexFunc(s.locks, func(i int) bool { return i >= 0 }) }

func allCalls(f functions, locks []dialect.Lock) []string {
	var calls []string
	for _, l := range locks {
		calls = append(calls, f.calls(l)...)
	}
	return calls
}

// unlockStatements roll back and give back the session's locks, on the same
// server connection even behind a pooler. Giving back what is not held is only a
// warning, and the statement that failed may have got its lock: a limit or a
// cancel that strikes after the grant fails the statement and keeps the lock.
func unlockStatements(locks []dialect.Lock) []string {
	return []string{"rollback and chain", "select " + strings.Join(allCalls(sessionUnlock, locks), ","), "rollback"}
}

// neverBegan reports the loss of a connection behind a wrapper with the very
// first statement, which was BEGIN alone.
func neverBegan(w wire, completed int, err error) bool {
	_, behindWrapper := w.(plain)
	return behindWrapper && completed == 0 && classifiedAs(err, dialect.ConnectionLost)
}

// lockError cleans up after a failure to get locks by running undo, asks in the
// same message who stood in the way, and describes the failure.
func lockError(w wire, locks []dialect.Lock, failed int, err error, undo ...string) error {
	kind := dialect.KindOf(err)
	if kind == dialect.Unknown {
		kind = d{}.Classify(err)
	}
	if s := w.state(); s == dialect.Broken || dialect.IsPoisoned(err) {
		return locked(locks, failed, &dialect.Error{Kind: kind, Err: err, Poisoned: true}, nil)
	}
	statements := undo
	if kind == dialect.LockTimeout && failed >= 0 {
		statements = append(statements, holdersStatement(locks[failed]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	var rows []row
	var undone error
	if len(statements) > 0 { // an empty message would be answered by a row
		rows, undone = w.last(ctx, statements...)
	}
	if len(rows) < len(undo) {
		return locked(locks, failed, &dialect.Error{Kind: kind, Err: errors.Join(err, undone), Poisoned: true}, nil)
	}
	if kind == dialect.Unknown {
		return err
	}
	var holders []dialect.Session
	if len(rows) > len(undo) {
		holders = readHolders(rows[len(undo)], locks[failed].Mode)
	}
	return locked(locks, failed, asKind(kind, err), holders)
}

// asKind gives err a kind unless it has one.
func asKind(kind dialect.Kind, err error) error {
	if dialect.KindOf(err) != dialect.Unknown {
		return err
	}
	return &dialect.Error{Kind: kind, Err: err}
}

// locked blames a lock for err, if one is to blame.
func locked(locks []dialect.Lock, failed int, err error, holders []dialect.Session) error {
	if failed < 0 && len(locks) == 1 {
		failed = 0
	}
	if failed < 0 {
		return err
	}
	return &dialect.LockError{Lock: locks[failed], Holders: holders, Err: err}
}

// elapsed is how long a call has waited.
func elapsed(err error, began time.Time) error {
	var refused *dialect.LockError
	if errors.As(err, &refused) {
		refused.Waited = time.Since(began)
	}
	return err
}
