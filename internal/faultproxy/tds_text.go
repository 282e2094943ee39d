package faultproxy

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// From MS-TDS, sections 2.2.6.6 (RPC) and 2.2.5.5.3 (types).
const (
	procedureByNumber = 0xFFFF
	executeSQL        = 10

	nvarcharType  = 0xE7
	nvarcharMax   = 0xFFFF             // in the place of the size: the value comes in chunks
	collationSize = 5                  // follows the size
	nullChunks    = 0xFFFFFFFFFFFFFFFF // in the place of the chunks' total size
)

// procedures are the names of those that have a number besides.
var procedures = map[uint16]string{
	executeSQL: "sp_executesql",
	11:         "sp_prepare",
	12:         "sp_execute",
	13:         "sp_prepexec",
	15:         "sp_unprepare",
}

// transactionRequests are what transaction-manager requests are in
// Transact-SQL. The value is what the request has before its name.
var transactionRequests = map[uint16]struct {
	text   string
	before int
}{
	5: {"BEGIN TRANSACTION", 1}, // an isolation level
	7: {"COMMIT TRANSACTION", 0},
	8: {"ROLLBACK TRANSACTION", 0},
	9: {"SAVE TRANSACTION", 0},
}

// tdsText returns the text of a statement, as [Message] has it. It is empty or
// cut short where the body is not as MS-TDS says.
func tdsText(kind byte, body []byte) string {
	r := &tdsReader{rest: body}
	r.skip(int(r.u32()) - 4) // ALL_HEADERS, whose length includes itself
	switch kind {
	case TDSRPC:
		return rpcText(r)
	case TDSTransaction:
		return transactionText(r)
	}
	return r.text(len(r.rest))
}

// rpcText returns the text that sp_executesql is to execute, and otherwise the
// name of the procedure. Of several calls in one message it is the first one's.
func rpcText(r *tdsReader) string {
	var name string
	if units := r.u16(); units == procedureByNumber {
		name = procedures[r.u16()]
	} else {
		name = r.text(2 * int(units))
	}
	if !strings.EqualFold(name, procedures[executeSQL]) {
		return name
	}
	r.skip(2) // options
	if text := firstArgument(r); text != "" {
		return text
	}
	return name
}

// firstArgument returns the first argument of a call, if it is an nvarchar.
func firstArgument(r *tdsReader) string {
	r.skip(2 * int(r.u8())) // its name
	r.skip(1)               // flags
	if r.u8() != nvarcharType {
		return ""
	}
	size := r.u16()
	r.skip(collationSize)
	if size != nvarcharMax {
		return r.text(int(r.u16()))
	}
	if r.u64() == nullChunks {
		return ""
	}
	var text []byte
	for n := r.u32(); n > 0 && len(r.rest) > 0; n = r.u32() {
		text = append(text, r.take(int(n))...)
	}
	return utf16Text(text)
}

func transactionText(r *tdsReader) string {
	request := transactionRequests[r.u16()]
	r.skip(request.before)
	name := r.text(2 * int(r.u8()))
	return strings.TrimSpace(request.text + " " + name)
}

// tdsReader reads a message. Past its end it reads zeros.
type tdsReader struct{ rest []byte }

func (r *tdsReader) take(n int) []byte {
	n = min(max(n, 0), len(r.rest))
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *tdsReader) skip(n int) { r.take(n) }

func (r *tdsReader) number(size int) uint64 {
	var whole [8]byte
	copy(whole[:], r.take(size))
	return binary.LittleEndian.Uint64(whole[:])
}

func (r *tdsReader) u8() byte { return byte(r.number(1)) }

func (r *tdsReader) u16() uint16 { return uint16(r.number(2)) }

func (r *tdsReader) u32() uint32 { return uint32(r.number(4)) }

func (r *tdsReader) u64() uint64 { return r.number(8) }

// text reads n bytes of UTF-16.
func (r *tdsReader) text(n int) string { return utf16Text(r.take(n)) }

func utf16Text(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
