package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// Key returns the advisory lock key of a name: the first 8 bytes of its SHA-256,
// big-endian. Any program can take the same lock with
//
//	select pg_advisory_xact_lock(('x'||left(encode(sha256(convert_to('tenant:42','UTF8')),'hex'),16))::bit(64)::bigint)
//
// Update locks hold, beside that key shared, the pair of its halves exclusively:
// pg_advisory_xact_lock(int, int), whose key space is another.
func Key(name string) int64 {
	sum := sha256.Sum256([]byte(name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// keyLiteral and pairLiteral are quoted: the least integer has no literal of its
// own.
func keyLiteral(key int64) string {
	return "'" + strconv.FormatInt(key, 10) + "'::bigint"
}

func pairLiteral(key int64) string {
	high, low := int32(key>>32), int32(key)
	return "'" + strconv.Itoa(int(high)) + "'::int,'" + strconv.Itoa(int(low)) + "'::int"
}
