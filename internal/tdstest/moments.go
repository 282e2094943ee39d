package tdstest

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

const (
	secondsPerDay = 24 * 60 * 60
	maxScale      = 7
)

// firstDay is day 0 of date, datetime2 and datetimeoffset, oldFirstDay that of
// datetime.
var (
	firstDay    = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	oldFirstDay = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
)

// daysSince counts the days from first to the calendar day that t shows in its
// own zone.
func daysSince(first, t time.Time) int64 {
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return (midnight.Unix() - first.Unix()) / secondsPerDay
}

// timeOfDay is the time that t shows in its own zone.
func timeOfDay(t time.Time) time.Duration {
	hour, minute, second := t.Clock()
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute +
		time.Duration(second)*time.Second + time.Duration(t.Nanosecond())
}

// encodeTime writes the date and time that v shows in its own zone, for all
// kinds but datetimeoffset, which keeps the moment.
func (t wireType) encodeTime(v time.Time) ([]byte, error) {
	switch t.Kind {
	case engine.Date:
		return appendDate(nil, v), nil
	case engine.Time:
		return appendTimeOfDay(nil, v, t.Scale), nil
	case engine.DateTime2:
		return appendDate(appendTimeOfDay(nil, v, t.Scale), v), nil
	case engine.DateTimeOffset:
		utc := v.UTC()
		_, offset := v.Zone()
		b := appendDate(appendTimeOfDay(nil, utc, t.Scale), utc)
		return binary.LittleEndian.AppendUint16(b, uint16(offset/60)), nil
	case engine.DateTime:
		// In 1/300 s, rounded.
		ticks := (int64(timeOfDay(v))*300 + int64(time.Second)/2) / int64(time.Second)
		b := binary.LittleEndian.AppendUint32(nil, uint32(daysSince(oldFirstDay, v)))
		return binary.LittleEndian.AppendUint32(b, uint32(ticks)), nil
	}
	return nil, t.mismatch(v)
}

func appendDate(b []byte, v time.Time) []byte {
	days := daysSince(firstDay, v)
	return append(b, byte(days), byte(days>>8), byte(days>>16))
}

func appendTimeOfDay(b []byte, v time.Time, scale int) []byte {
	units := uint64(timeOfDay(v) / unitOf(scale))
	return append(b, binary.LittleEndian.AppendUint64(nil, units)[:timeSize(scale)]...)
}

// unitOf is the length of one unit of a time with that many digits.
func unitOf(scale int) time.Duration {
	return time.Duration(math.Pow10(9 - scale))
}

func timeSize(scale int) int {
	switch {
	case scale <= 2:
		return 3
	case scale <= 4:
		return 4
	}
	return 5
}

func decodeDate(b []byte) time.Time {
	days := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	return firstDay.AddDate(0, 0, days)
}

func decodeTimeOfDay(b []byte, scale int) (time.Duration, error) {
	var units uint64
	for i := len(b) - 1; i >= 0; i-- {
		units = units<<8 | uint64(b[i])
	}
	if units > uint64(24*time.Hour/unitOf(scale)) {
		return 0, malformed("time of %d units in a day", units)
	}
	return time.Duration(units) * unitOf(scale), nil
}

// decodeMoment reads a time, datetime2 or datetimeoffset of any scale.
func decodeMoment(id byte, b []byte, scale int) (time.Time, error) {
	clock, err := decodeTimeOfDay(b[:timeSize(scale)], scale)
	if err != nil {
		return time.Time{}, err
	}
	b = b[timeSize(scale):]
	if id == typeTimeN {
		return firstDay.Add(clock), nil
	}
	moment := decodeDate(b).Add(clock)
	if id == typeDateTime2N {
		return moment, nil
	}
	offset := int(int16(binary.LittleEndian.Uint16(b[3:])))
	return moment.In(time.FixedZone("", 60*offset)), nil
}

// decodeDateTime reads a datetime of 8 bytes or a smalldatetime of 4.
func decodeDateTime(b []byte) time.Time {
	if len(b) == 4 {
		minutes := time.Duration(binary.LittleEndian.Uint16(b[2:])) * time.Minute
		return oldFirstDay.AddDate(0, 0, int(binary.LittleEndian.Uint16(b))).Add(minutes)
	}
	day := oldFirstDay.AddDate(0, 0, int(int32(binary.LittleEndian.Uint32(b))))
	ticks := int64(binary.LittleEndian.Uint32(b[4:]))
	milliseconds := (ticks*10 + 1) / 3 // a datetime shows thirds as .000, .003 and .007
	return day.Add(time.Duration(milliseconds) * time.Millisecond)
}
