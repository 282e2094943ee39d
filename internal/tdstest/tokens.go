package tdstest

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

// The tokens of a reply.
const (
	tokenReturnStatus = 0x79
	tokenColMetadata  = 0x81
	tokenError        = 0xAA
	tokenInfo         = 0xAB
	tokenReturnValue  = 0xAC
	tokenLoginAck     = 0xAD
	tokenRow          = 0xD1
	tokenEnvChange    = 0xE3
)

// The kinds of ENVCHANGE beside those of engine.Change.
const (
	envDatabase   = 1
	envLanguage   = 2
	envPacketSize = 4
	envCollation  = 7
	envResetDone  = 18
)

const (
	// serverName stands in every message; it is that of an engine by default.
	serverName = "SIMULATOR"

	// classFatal is the least class after which a server drops the connection.
	classFatal = 20

	commandSelect = 193
	commandError  = 253

	columnNullable = 0x0001
)

// reply encodes the tokens of one reply. The last DONE is held back, so that
// what follows may still change it.
type reply struct {
	writer   *replyWriter
	database *string // of the connection
	columns  []wireType
	held     *done
	broken   bool // the engine gave what cannot be encoded
	fatal    bool // an error of a class that ends the connection was told
}

var _ engine.Tokens = (*reply)(nil)

type done struct {
	kind            engine.DoneKind
	status, command uint16
	rows            uint64
}

func (d done) encode() []byte {
	b := binary.LittleEndian.AppendUint16([]byte{byte(d.kind)}, d.status)
	b = binary.LittleEndian.AppendUint16(b, d.command)
	return binary.LittleEndian.AppendUint64(b, d.rows)
}

func (r *reply) emit(token []byte) {
	r.release()
	r.writer.write(token)
}

func (r *reply) release() {
	if r.held != nil {
		r.writer.write(r.held.encode())
		r.held = nil
	}
}

// finish sends what is left. A reply always ends with a DONE.
func (r *reply) finish() error {
	if r.held == nil {
		r.Done(engine.Done, 0, 0, 0)
	}
	r.held.status &^= engine.StatusMore
	if r.broken {
		r.held.status |= engine.StatusError
	}
	r.release()
	return r.writer.finish()
}

// Columns writes COLMETADATA.
func (r *reply) Columns(columns []engine.Column) {
	b := binary.LittleEndian.AppendUint16([]byte{tokenColMetadata}, uint16(len(columns)))
	r.columns = r.columns[:0]
	for _, column := range columns {
		t := encodeType(column.Type, column.Nullable)
		r.columns = append(r.columns, t)
		var flags uint16
		if column.Nullable {
			flags = columnNullable
		}
		b = binary.LittleEndian.AppendUint32(b, 0) // user type
		b = binary.LittleEndian.AppendUint16(b, flags)
		b = appendShortText(append(b, t.info...), column.Name)
	}
	r.emit(b)
}

// Row writes ROW.
func (r *reply) Row(values []any) {
	if len(values) != len(r.columns) {
		r.breakOff(fmt.Errorf("%d values in %d columns", len(values), len(r.columns)))
		return
	}
	b := []byte{tokenRow}
	for i, value := range values {
		var err error
		if b, err = r.columns[i].appendValue(b, value); err != nil {
			r.breakOff(fmt.Errorf("column %d: %w", i+1, err))
			return
		}
	}
	r.emit(b)
}

// breakOff tells the client of a mistake in the engine, as nothing else would.
func (r *reply) breakOff(err error) {
	r.broken = true
	r.Message(engine.Message{Number: 50000, State: 1, Class: 16, Text: "tdstest: the engine's reply cannot be encoded: " + err.Error()})
}

// Message writes ERROR or INFO.
func (r *reply) Message(m engine.Message) {
	id := byte(tokenError)
	if m.Class <= 10 {
		id = tokenInfo
	}
	r.fatal = r.fatal || m.Class >= classFatal
	b := binary.LittleEndian.AppendUint32(nil, uint32(m.Number))
	b = appendText(append(b, m.State, m.Class), m.Text)
	b = appendShortText(appendShortText(b, serverName), m.Procedure)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Line))
	r.emit(withLength(id, b))
}

// Done holds DONE, DONEPROC or DONEINPROC back until the next token.
func (r *reply) Done(kind engine.DoneKind, status, command uint16, rows uint64) {
	r.release()
	r.held = &done{kind: kind, status: status, command: command, rows: rows}
}

// ReturnStatus writes RETURNSTATUS.
func (r *reply) ReturnStatus(status int32) {
	r.emit(binary.LittleEndian.AppendUint32([]byte{tokenReturnStatus}, uint32(status)))
}

// ReturnValue writes RETURNVALUE for an output parameter.
func (r *reply) ReturnValue(name string, t engine.Type, value any) {
	const outputParameter = 1
	w := encodeType(t, true)
	b := appendShortText([]byte{tokenReturnValue, 0, 0}, name)
	b = append(b, outputParameter)
	b = binary.LittleEndian.AppendUint32(b, 0) // user type
	b = binary.LittleEndian.AppendUint16(b, columnNullable)
	b, err := w.appendValue(append(b, w.info...), value)
	if err != nil {
		r.breakOff(fmt.Errorf("output parameter %s: %w", name, err))
		return
	}
	r.emit(b)
}

// Transaction writes ENVCHANGE 8, 9 or 10.
func (r *reply) Transaction(change engine.Change, descriptor uint64) {
	b := binary.LittleEndian.AppendUint64([]byte{8}, descriptor)
	if change == engine.Began {
		b = append(b, 0)
	} else {
		b = append([]byte{0}, b...)
	}
	r.environment(byte(change), b)
}

// Database writes ENVCHANGE 1.
func (r *reply) Database(name string) {
	r.environment(envDatabase, appendShortText(appendShortText(nil, name), *r.database))
	*r.database = name
}

func (r *reply) environment(kind byte, values []byte) {
	r.emit(withLength(tokenEnvChange, append([]byte{kind}, values...)))
}

// resetDone acknowledges the reset bit.
func (r *reply) resetDone() { r.environment(envResetDone, []byte{0, 0}) }

// fail ends the reply with an error.
func (r *reply) fail(kind engine.DoneKind, status uint16, messages ...engine.Message) {
	for _, m := range messages {
		r.Message(m)
	}
	r.Done(kind, status|engine.StatusError, commandError, 0)
}

// welcome is the reply to a login that succeeded.
func (r *reply) welcome(database string, packetSize int) {
	const previousDatabase = "master"
	*r.database = previousDatabase
	r.Database(database)
	r.Message(engine.Message{Number: 5701, State: 2, Text: "Changed database context to '" + database + "'."})
	r.environment(envCollation, append(append([]byte{byte(len(collation))}, collation...), 0))
	r.environment(envLanguage, appendShortText(appendShortText(nil, "us_english"), ""))
	r.Message(engine.Message{Number: 5703, State: 1, Text: "Changed language setting to us_english."})
	ack := appendShortText([]byte{1, 0x74, 0, 0, 4}, "tdstest simulator")
	r.emit(withLength(tokenLoginAck, append(ack, serverVersion[:4]...)))
	size := appendShortText(nil, strconv.Itoa(packetSize))
	r.environment(envPacketSize, appendShortText(size, strconv.Itoa(defaultPacketSize)))
	r.Done(engine.Done, 0, 0, 0)
}

func withLength(id byte, b []byte) []byte {
	return append(binary.LittleEndian.AppendUint16([]byte{id}, uint16(len(b))), b...)
}

// attentionDone acknowledges an attention.
var attentionDone = done{kind: engine.Done, status: engine.StatusAttn, command: commandError}
