package engine

import (
	"math/big"
	"strings"
)

// dec is a decimal number: units / 10^scale.
type dec struct {
	units *big.Int
	scale int
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// parseDec reads plain notation such as "-12.50".
func parseDec(s string) (dec, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	if strings.Trim(digits, "+-") == "" {
		return dec{}, false
	}
	units, ok := new(big.Int).SetString(strings.TrimPrefix(digits, "+"), 10)
	return dec{units, len(fraction)}, ok
}

func decOf(n int64) dec { return dec{big.NewInt(n), 0} }

// String writes plain notation.
func (d dec) String() string {
	s := new(big.Int).Abs(d.units).String()
	if d.scale > 0 {
		if len(s) <= d.scale {
			s = strings.Repeat("0", d.scale-len(s)+1) + s
		}
		s = s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
	}
	if d.units.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// rescale rounds half away from zero when digits are lost.
func (d dec) rescale(scale int) dec {
	switch {
	case scale == d.scale:
		return d
	case scale > d.scale:
		return dec{new(big.Int).Mul(d.units, pow10(scale-d.scale)), scale}
	}
	return dec{roundedQuotient(d.units, pow10(d.scale-scale)), scale}
}

func roundedQuotient(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	r.Abs(r).Lsh(r, 1)
	if r.CmpAbs(b) >= 0 {
		q.Add(q, big.NewInt(int64(a.Sign()*b.Sign())))
	}
	return q
}

func (d dec) cmp(e dec) int {
	scale := max(d.scale, e.scale)
	return d.rescale(scale).units.Cmp(e.rescale(scale).units)
}

// whole cuts the fraction off. It reports whether the number fits an int64.
func (d dec) whole() (int64, bool) {
	q := new(big.Int).Quo(d.units, pow10(d.scale))
	return q.Int64(), q.IsInt64()
}

func (d dec) float() float64 {
	f, _ := new(big.Rat).SetFrac(d.units, pow10(d.scale)).Float64()
	return f
}

// arithmetic computes d op e with scale digits after the point. The divisor is
// not zero.
func (d dec) arithmetic(op string, e dec, scale int) dec {
	switch op {
	case "+", "-", "%":
		s := max(d.scale, e.scale)
		a, b := d.rescale(s).units, e.rescale(s).units
		switch op {
		case "+":
			return dec{new(big.Int).Add(a, b), s}.rescale(scale)
		case "-":
			return dec{new(big.Int).Sub(a, b), s}.rescale(scale)
		}
		return dec{new(big.Int).Rem(a, b), s}.rescale(scale)
	case "*":
		return dec{new(big.Int).Mul(d.units, e.units), d.scale + e.scale}.rescale(scale)
	}
	n := new(big.Int).Mul(d.units, pow10(scale+e.scale))
	return dec{new(big.Int).Quo(n, new(big.Int).Mul(e.units, pow10(d.scale))), scale}
}

// digits counts the digits before the point.
func (d dec) digits() int {
	q := new(big.Int).Quo(d.units, pow10(d.scale))
	if q.Sign() == 0 {
		return 0
	}
	return len(q.Abs(q).String())
}
