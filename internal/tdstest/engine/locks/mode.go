// Package locks is the lock manager of the simulated server: one for
// application locks, rows and tables, so that a deadlock through all of them is
// found.
package locks

// Mode is how strong a lock is. The zero Mode is no lock.
type Mode uint8

// The modes, of which SIX and UIX arise as unions too.
const (
	None Mode = iota
	IS
	S
	U
	IX
	SIX
	UIX
	X
	modes
)

var names = [modes]string{"NL", "IS", "S", "U", "IX", "SIX", "UIX", "X"}

// String returns the mode as sys.dm_tran_locks shows it.
func (m Mode) String() string {
	if m >= modes {
		return "invalid"
	}
	return names[m]
}

// beside[held] has a bit for every mode that can be granted beside held.
var beside = [modes]uint16{
	None: 0xFFFF,
	IS:   bits(IS, S, U, IX, SIX, UIX),
	S:    bits(IS, S, U),
	U:    bits(IS, S),
	IX:   bits(IS, IX),
	SIX:  bits(IS),
	UIX:  bits(IS),
	X:    0,
}

func bits(all ...Mode) uint16 {
	var b uint16
	for _, m := range all {
		b |= 1 << m
	}
	return b
}

// Compatible reports whether want can be granted beside held.
func Compatible(held, want Mode) bool { return want == None || beside[held]&(1<<want) != 0 }

// Union returns the weakest mode that is as strong as both.
func Union(a, b Mode) Mode {
	if a > b {
		a, b = b, a
	}
	switch {
	case b == IX && a == S, b == SIX && a == S:
		return SIX
	case (b == IX || b == SIX) && a == U:
		return UIX
	}
	return b
}
