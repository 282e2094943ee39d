package postgres

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/dialect"
)

// script is a list of statements that remembers which lock each is about.
type script struct {
	statements []string
	locks      []int // index of the lock that the statement takes, or -1
}

func (s *script) add(statements ...string) {
	for _, statement := range statements {
		s.statements = append(s.statements, statement)
		s.locks = append(s.locks, -1)
	}
}

func (s *script) lock(i int, statement string) {
	s.statements = append(s.statements, statement)
	s.locks = append(s.locks, i)
}

// failed returns the lock whose statement failed, given how many completed.
func (s *script) failed(completed int) int {
	if completed < len(s.locks) {
		return s.locks[completed]
	}
	return -1
}

// functions are the lock functions of one owner: the transaction or the session.
type functions struct{ exclusive, shared string }

var (
	byTransaction = functions{"pg_catalog.pg_advisory_xact_lock", "pg_catalog.pg_advisory_xact_lock_shared"}
	bySession     = functions{"pg_catalog.pg_advisory_lock", "pg_catalog.pg_advisory_lock_shared"}
	byAttempt     = functions{"pg_catalog.pg_try_advisory_xact_lock", "pg_catalog.pg_try_advisory_xact_lock_shared"}
	sessionUnlock = functions{"pg_catalog.pg_advisory_unlock", "pg_catalog.pg_advisory_unlock_shared"}
)

// calls returns the calls that take a lock, or give it back, in their order.
// Update is the pair of the key's halves exclusively, which keeps other Updates
// out, and the key shared, which goes with readers.
func (f functions) calls(l dialect.Lock) []string {
	key := Key(l.Name)
	switch l.Mode {
	case dialect.Shared:
		return []string{f.shared + "(" + keyLiteral(key) + ")"}
	case dialect.Update:
		return []string{
			f.exclusive + "(" + pairLiteral(key) + ")",
			f.shared + "(" + keyLiteral(key) + ")",
		}
	}
	return []string{f.exclusive + "(" + keyLiteral(key) + ")"}
}

// The waits have limits of their own: neither the session's lock_timeout nor
// its statement_timeout may end them early. Settings are put back as the text
// they had, for current_setting prints forms that no one parses alike.
const (
	saveLimits = "select pg_catalog.set_config('lockstep.lock_timeout',pg_catalog.current_setting('lock_timeout'),true)," +
		"pg_catalog.set_config('lockstep.statement_timeout',pg_catalog.current_setting('statement_timeout'),true)," +
		"pg_catalog.set_config('lockstep.start',extract(epoch from pg_catalog.clock_timestamp())::text,true)"
	liftLimits    = "select pg_catalog.set_config('lock_timeout','0',true),pg_catalog.set_config('statement_timeout','0',true)"
	restoreLimits = "select pg_catalog.set_config('lock_timeout',pg_catalog.current_setting('lockstep.lock_timeout'),true)," +
		"pg_catalog.set_config('statement_timeout',pg_catalog.current_setting('lockstep.statement_timeout'),true)"
)

// limitStatement bounds the wait for the next lock by what is left of limit.
func limitStatement(limit time.Duration) string {
	if limit == dialect.Forever {
		return "select pg_catalog.set_config('lock_timeout','0',true)"
	}
	// 0 means no limit to the server: a request that must not wait waits 1 ms.
	left := fmt.Sprintf("greatest(1,ceil(%d-1000*(extract(epoch from pg_catalog.clock_timestamp())-pg_catalog.current_setting('lockstep.start')::numeric)))",
		limitMillis(limit))
	return "select pg_catalog.set_config('lock_timeout',(" + left + "::bigint)::text,true)"
}

// limitMillis is a limit in the server's unit, rounded up, within its range.
func limitMillis(limit time.Duration) int64 {
	limit = min(limit, math.MaxInt32*time.Millisecond)
	return max((limit + time.Millisecond - 1).Milliseconds(), 1)
}

// take adds the statements that take locks in order, each within its limit.
func (s *script) take(f functions, locks []dialect.Lock) {
	last := dialect.Forever
	for i, l := range locks {
		for _, call := range f.calls(l) {
			if l.Limit != dialect.Forever || last != dialect.Forever {
				s.add(limitStatement(l.Limit))
				last = l.Limit
			}
			s.lock(i, "select "+call)
		}
	}
}

// attempt is one statement that takes locks in order without waiting, and
// yields the index of the first that was refused, or -1. CASE evaluates its
// arms in order and stops at the first that holds.
func attempt(locks []dialect.Lock) string {
	var b strings.Builder
	b.WriteString("select case")
	for i, l := range locks {
		for _, call := range byAttempt.calls(l) {
			fmt.Fprintf(&b, " when not %s then %d", call, i)
		}
	}
	b.WriteString(" else -1 end")
	return b.String()
}

// immediate reports whether no lock may wait.
func immediate(locks []dialect.Lock) bool {
	for _, l := range locks {
		if l.Limit != 0 {
			return false
		}
	}
	return true
}

// limited reports whether any lock has a limit.
func limited(locks []dialect.Lock) bool {
	for _, l := range locks {
		if l.Limit != dialect.Forever {
			return true
		}
	}
	return false
}

// literal quotes text for SQL, whatever standard_conforming_strings says.
func literal(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}
