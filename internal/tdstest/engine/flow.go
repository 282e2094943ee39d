package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

func (x *exec) ifStatement(s *tsql.If) (signal, error) {
	holds, err := x.condition(s.Condition)
	if err != nil {
		return signal{}, err
	}
	x.ended(cmdIf)
	switch {
	case holds:
		return x.one(*s.Then)
	case s.Else != nil:
		return x.one(*s.Else)
	}
	return signal{}, nil
}

func (x *exec) while(s *tsql.While) (signal, error) {
	for {
		if err := x.interrupted(); err != nil {
			return signal{}, err
		}
		holds, err := x.condition(s.Condition)
		if err != nil {
			return signal{}, err
		}
		x.ended(cmdIf)
		if !holds {
			return signal{}, nil
		}
		sig, err := x.one(*s.Body)
		if err != nil || sig.kind == returns || sig.kind == jumps {
			return sig, err
		}
		if sig.kind == breaks {
			return signal{}, nil
		}
	}
}

// try runs the CATCH block when the TRY block raises an error it can handle.
func (x *exec) try(s *tsql.Try) (signal, error) {
	home, depth := x.scope, x.out.depth
	x.tries = append(x.tries, home)
	sig, err := x.run(s.Body)
	x.tries = x.tries[:len(x.tries)-1]
	f := (*failure)(nil)
	if !errors.As(err, &f) || !f.handledIn(home) {
		return sig, err
	}
	x.scope, x.out.depth = home, depth
	x.caught = append(x.caught, f)
	defer func() { x.caught = x.caught[:len(x.caught)-1] }()
	return x.run(s.Catch)
}

func (x *exec) returnStatement(s *tsql.Return) (signal, error) {
	if s.X != nil {
		if x.scope.level == 0 {
			return signal{}, fault(178, "A RETURN statement with a return value cannot be used in this context.")
		}
		v, err := x.scalar(s.X, typeInt)
		if err != nil {
			return signal{}, err
		}
		if v != nil {
			x.scope.status = int32(v.(int64))
		}
	}
	return signal{kind: returns}, nil
}

func (x *exec) print(s *tsql.Print) error {
	v, err := x.scalar(s.X, nvarchar(4000))
	if err != nil {
		return err
	}
	text, _ := v.(string)
	if text == "" {
		text = " "
	}
	x.info(0, 1, text)
	return nil
}

func (x *exec) raiseError(s *tsql.RaiseError) error {
	first, err := x.value(s.Message)
	if err != nil {
		return err
	}
	severity, err := x.scalar(s.Severity, typeInt)
	if err != nil {
		return err
	}
	state, err := x.scalar(s.State, typeInt)
	if err != nil {
		return err
	}
	f := fault(50000, "")
	f.exempt = true
	switch v := first.v.(type) {
	case string:
		if f.Text, err = x.formatMessage(v, s.Args); err != nil {
			return err
		}
	case int64:
		f.Number = int32(v)
		f.Text = fmt.Sprintf("Error %d, severity %v, state %v was raised, but no message with that error number was found in sys.messages.",
			v, severity, state)
	}
	class, _ := severity.(int64)
	f.Class, f.State = uint8(min(max(class, 0), 25)), uint8(max(0, toInt(state)))
	for _, o := range s.Options {
		if o == "SETERROR" {
			defer func() { x.s.lastError = f.Number }()
		}
	}
	switch {
	case f.Class > 18:
		return fault(2754, "Error severity levels greater than 18 can only be specified by members of the sysadmin role, using the WITH LOG option.")
	case f.Class <= 10:
		x.s.lastError = 0
		f.Procedure, f.Line = x.scope.procedure, int32(x.line)
		x.out.token().Message(f.Message)
		return nil
	}
	return f
}

func toInt(v any) int64 {
	n, _ := v.(int64)
	return n
}

// formatMessage fills %s, %d and the like in.
func (x *exec) formatMessage(format string, args []tsql.Expr) (string, error) {
	values := make([]any, len(args))
	for i, a := range args {
		v, err := x.value(a)
		if err != nil {
			return "", err
		}
		values[i] = v.v
		if v.v == nil {
			values[i] = "(null)"
		}
	}
	for _, v := range []string{"%ld", "%i", "%I64d", "%u"} {
		format = strings.ReplaceAll(format, v, "%d")
	}
	if len(values) == 0 {
		return strings.ReplaceAll(format, "%%", "%"), nil
	}
	return fmt.Sprintf(format, values...), nil
}

// throw raises an error of its own, or the one that is being handled again.
func (x *exec) throw(s *tsql.Throw) error {
	if s.Number == nil {
		if len(x.caught) == 0 {
			return fault(10704, "To rethrow an error, a THROW statement must be used inside a CATCH block. Insert the THROW statement inside a "+
				"CATCH block, or add error parameters to the THROW statement.")
		}
		again := *x.caught[len(x.caught)-1]
		again.scope = nil
		again.exempt = false
		if again.effect != endsTransaction {
			again.effect = endsBatch
		}
		return &again
	}
	number, err := x.scalar(s.Number, typeInt)
	if err != nil {
		return err
	}
	text, err := x.scalar(s.Message, nvarchar(2048))
	if err != nil {
		return err
	}
	state, err := x.scalar(s.State, typeInt)
	if err != nil {
		return err
	}
	if toInt(number) < 50000 {
		return fault(35100, "Error number %d in the THROW statement is outside the valid range. Specify an error number in the valid range of 50000 to 2147483647.", toInt(number))
	}
	f := fault(int32(toInt(number)), "%v", text)
	f.State, f.effect = uint8(toInt(state)), endsBatch
	return f
}

func (x *exec) waitFor(s *tsql.WaitFor) error {
	v, err := x.value(s.X)
	if err != nil {
		return err
	}
	var until time.Time
	switch t := v.v.(type) {
	case time.Time:
		until = t
	case string:
		var ok bool
		if until, ok = parseDate(t); !ok {
			return fault(148, "Incorrect time syntax in time string '%s' used with WAITFOR.", t)
		}
	default:
		return fault(9815, "Waitfor delay and waitfor time cannot be of type %s.", v.typ.family())
	}
	clock := until.Sub(until.Truncate(24 * time.Hour))
	if s.Time {
		now := x.server.now()
		clock -= now.Sub(now.Truncate(24 * time.Hour))
		if clock < 0 {
			clock += 24 * time.Hour
		}
	}
	timer := time.NewTimer(clock)
	defer timer.Stop()
	select {
	case <-timer.C:
		x.ended(cmdSet)
		return nil
	case <-x.ctx.Done():
		return x.interrupted()
	}
}
