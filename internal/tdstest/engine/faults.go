package engine

import "fmt"

// effect is what an error ends when nothing catches it and XACT_ABORT is OFF.
type effect uint8

const (
	endsStatement   effect = iota
	endsScope              // the procedure or batch that it is in, and no handler of its own catches it
	endsCompile            // as endsScope, and XACT_ABORT does not apply
	endsBatch              // the batch, but not the transaction
	endsTransaction        // the batch and the transaction
)

// effects lists errors that end more than their statement.
var effects = map[int32]effect{
	102: endsCompile, 103: endsCompile, 105: endsCompile, 111: endsCompile, 113: endsCompile, 117: endsCompile,
	119: endsCompile, 134: endsCompile, 137: endsCompile, 156: endsCompile, 191: endsCompile, 321: endsCompile,
	131: endsCompile, 133: endsCompile, 135: endsCompile, 136: endsCompile, 195: endsCompile, 243: endsCompile,
	1001: endsCompile, 4145: endsCompile, 1087: endsCompile, 10727: endsCompile, 174: endsCompile, 110: endsCompile,
	109: endsCompile, 120: endsCompile, 121: endsCompile, 147: endsCompile, 8120: endsCompile, 10709: endsCompile,
	205: endsCompile, 1038: endsCompile, 2715: endsCompile,
	207: endsScope, 208: endsScope, 209: endsScope, 4104: endsScope, 213: endsScope, 107: endsScope, 402: endsScope,
	206: endsScope, 8117: endsScope, 8116: endsScope, 264: endsScope,
	201: endsScope, 8144: endsScope, 8145: endsScope, 8178: endsScope,
	241: endsTransaction, 242: endsTransaction, 245: endsTransaction, 248: endsTransaction, 8114: endsTransaction,
	8169: endsTransaction, 235: endsTransaction, 295: endsTransaction,
	1205: endsTransaction, 3960: endsTransaction, 3951: endsTransaction, 3952: endsTransaction,
	3930: endsTransaction, 3931: endsTransaction, 226: endsTransaction, 217: endsTransaction,
}

// failure is an error on its way to a handler or to the client.
type failure struct {
	Message
	effect effect
	// exempt is set for RAISERROR, which XACT_ABORT does not apply to, and for
	// 266, which tells of an end that has been chosen.
	exempt bool
	scope  *scope // that raised it
	write  bool   // raised by a statement that writes
	// before is an error that the client is told first.
	before *Message
}

func (f *failure) Error() string { return f.Message.Error() }

// classes lists errors whose class is not 16.
var classes = map[int32]uint8{
	102: 15, 103: 15, 105: 15, 111: 15, 113: 15, 117: 15, 119: 15, 134: 15, 137: 15, 156: 15, 191: 15, 195: 15,
	1001: 15, 131: 15, 321: 15, 2627: 14, 2601: 14, 1205: 13, 300: 14, 229: 14, 262: 14, 18456: 14, 4060: 11,
	3701: 11, 266: 16, 596: 21, 911: 16, 6106: 16, 4145: 15, 133: 15, 135: 15, 136: 15, 1087: 15, 10727: 15,
	174: 15, 110: 15, 109: 15, 120: 15, 121: 15, 147: 15, 916: 14, 15151: 16, 1038: 15, 3908: 16, 1222: 16,
}

// states lists errors whose state is not 1.
var states = map[int32]uint8{
	266: 2, 1205: 51, 1222: 51, 515: 2, 3952: 1, 3960: 2, 226: 6, 2714: 6, 3701: 5, 1801: 3, 1223: 1, 3930: 1,
}

// fault returns the error of that number.
func fault(number int32, format string, args ...any) *failure {
	m := Message{Number: number, Class: 16, State: 1, Text: fmt.Sprintf(format, args...)}
	if c, ok := classes[number]; ok {
		m.Class = c
	}
	if s, ok := states[number]; ok {
		m.State = s
	}
	return &failure{Message: m, effect: effects[number]}
}

// unknown tells of T-SQL that the server may know but the simulator does not.
func unknown(format string, args ...any) *failure {
	return fault(102, "The simulator does not know "+format+".", args...)
}
