package postgres

import (
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-go/lockstep/dialect"
)

// preparing are the calls of a lock as statements to prepare.
type preparing struct{ exclusive, exclusivePair, shared string }

var (
	preparedCall = preparing{
		exclusive:     "select pg_catalog.pg_advisory_xact_lock($1::bigint)",
		exclusivePair: "select pg_catalog.pg_advisory_xact_lock($1::int,$2::int)",
		shared:        "select pg_catalog.pg_advisory_xact_lock_shared($1::bigint)",
	}
	// The first of a transaction yields the isolation in force as well.
	preparedFirst = preparing{
		exclusive:     preparedCall.exclusive + andIsolation,
		exclusivePair: preparedCall.exclusivePair + andIsolation,
		shared:        preparedCall.shared + andIsolation,
	}
)

const andIsolation = ",pg_catalog.current_setting('transaction_isolation')"

// lockCall is one call of a lock, with its values in binary form.
type lockCall struct {
	text string
	lock int // index
	key  [8]byte
	pair bool
}

// lockCalls are what functions.calls gives, for preparing.
func lockCalls(locks []dialect.Lock) []lockCall {
	calls := make([]lockCall, 0, len(locks)+1)
	for i, l := range locks {
		p := &preparedCall
		if i == 0 {
			p = &preparedFirst
		}
		call := lockCall{text: p.exclusive, lock: i}
		binary.BigEndian.PutUint64(call.key[:], uint64(Key(l.Name)))
		if l.Mode == dialect.Update {
			call.text, call.pair = p.exclusivePair, true
			calls = append(calls, call)
			p, call.pair = &preparedCall, false
		}
		if l.Mode != dialect.Exclusive {
			call.text = p.shared
		}
		calls = append(calls, call)
	}
	return calls
}

// queue queues the call.
func (c *lockCall) queue(l *link, pg *pgconn.PgConn) {
	values := l.keys[:1]
	values[0] = c.key[:]
	if c.pair {
		values = l.keys[:2]
		values[0], values[1] = c.key[:4], c.key[4:]
	}
	l.run(pg, c.text, values, binaryFormat)
}

// binaryFormat is the format of all values of a lockCall.
var binaryFormat = []int16{pgx.BinaryFormatCode}

// lockPrepared begins and takes locks that may wait without limit, on a
// connection whose statements are kept prepared. It returns the isolation in
// force and, after an error, the lock that failed, or -1.
func (n *native) lockPrepared(ctx context.Context, first opening, locks []dialect.Lock) (isolation string, failed int, err error) {
	calls, failed := lockCalls(locks), -1
	texts := first.texts()
	for _, c := range calls {
		texts = append(texts, c.text)
	}
	err = n.use(func(c *pgx.Conn) error {
		pg := c.PgConn()
		if err := n.link.prepare(ctx, pg, texts...); err != nil {
			return err
		}
		return cancellably(ctx, pg, func() error {
			before := first.queue(n.link, pg)
			for i := range calls {
				calls[i].queue(n.link, pg)
			}
			done, err := n.link.talk.finish(pg, answers{row: func(i int, values [][]byte) {
				if i == before {
					isolation = isolationName(values[1])
				}
			}})
			if at := done - before; at >= 0 && at < len(calls) {
				failed = calls[at].lock
			}
			return err
		})
	})
	return isolation, failed, err
}

// isolationName makes text of what the server said, without a copy of the usual.
func isolationName(said []byte) string {
	const usual = "read committed"
	if string(said) == usual {
		return usual
	}
	return string(said)
}
