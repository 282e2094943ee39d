package engine

import (
	"strings"
	"time"
)

var dateLayouts = []string{
	"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999 Z07:00", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
	"20060102 15:04:05.999999999", "20060102", "15:04:05.999999999", "15:04",
}

// parseDate reads the unambiguous ways of writing a date or a time.
func parseDate(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), true
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() == 0 {
				t = t.AddDate(1900, 0, 0)
			}
			return t, true
		}
	}
	return time.Time{}, false
}

// fraction is the layout of n digits of a second.
func fraction(n int) string {
	if n <= 0 {
		return ""
	}
	return "." + strings.Repeat("0", n)
}

// dateText writes a date as CONVERT does without a style, or with one of the
// ISO styles.
func dateText(v time.Time, t Type, style int64) string {
	switch {
	case style == 126 || style == 127:
		return v.Format("2006-01-02T15:04:05" + fraction(dateScale(t)))
	case style == 121 || style == 21:
		return v.Format("2006-01-02 15:04:05" + fraction(dateScale(t)))
	case style == 120 || style == 20:
		return v.Format("2006-01-02 15:04:05")
	case style == 112:
		return v.Format("20060102")
	case style == 23:
		return v.Format("2006-01-02")
	}
	switch t.Kind {
	case DateTime:
		return v.Format("Jan _2 2006  3:04PM")
	case Date:
		return v.Format("2006-01-02")
	case Time:
		return v.Format("15:04:05" + fraction(t.Scale))
	case DateTimeOffset:
		return v.Format("2006-01-02 15:04:05" + fraction(t.Scale) + " -07:00")
	}
	return v.Format("2006-01-02 15:04:05" + fraction(t.Scale))
}

func dateScale(t Type) int {
	if t.Kind == DateTime {
		return 3
	}
	return t.Scale
}

// fitDate brings a time to the precision of a type.
func fitDate(v time.Time, t Type) time.Time {
	if t.Kind != DateTimeOffset {
		v = time.Date(v.Year(), v.Month(), v.Day(), v.Hour(), v.Minute(), v.Second(), v.Nanosecond(), time.UTC)
	}
	switch t.Kind {
	case Date:
		return time.Date(v.Year(), v.Month(), v.Day(), 0, 0, 0, 0, time.UTC)
	case DateTime: // counts 1/300 s
		ticks := (int64(v.Nanosecond())*300 + 5e8) / 1e9
		return v.Add(-time.Duration(v.Nanosecond())).Add(time.Duration((ticks*10 + 1) / 3 * int64(time.Millisecond)))
	}
	unit := time.Second
	for range t.Scale {
		unit /= 10
	}
	return v.Round(unit)
}

// addDate is DATEADD. It reports whether part is known.
func addDate(part string, n int64, v time.Time) (time.Time, bool) {
	switch part {
	case "year", "yy", "yyyy":
		return addMonths(v, 12*n), true
	case "quarter", "qq", "q":
		return addMonths(v, 3*n), true
	case "month", "mm", "m":
		return addMonths(v, n), true
	case "day", "dd", "d", "dayofyear", "dy", "y", "weekday", "dw", "w":
		return v.AddDate(0, 0, int(n)), true
	case "week", "wk", "ww":
		return v.AddDate(0, 0, 7*int(n)), true
	}
	unit, ok := timeParts[part]
	return v.Add(time.Duration(n) * unit), ok
}

// addMonths keeps within the month that is reached.
func addMonths(v time.Time, n int64) time.Time {
	first := time.Date(v.Year(), v.Month()+time.Month(n), 1, v.Hour(), v.Minute(), v.Second(), v.Nanosecond(), v.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(v.Day(), last)-1)
}

var timeParts = map[string]time.Duration{
	"hour": time.Hour, "hh": time.Hour, "minute": time.Minute, "mi": time.Minute, "n": time.Minute,
	"second": time.Second, "ss": time.Second, "s": time.Second, "millisecond": time.Millisecond, "ms": time.Millisecond,
	"microsecond": time.Microsecond, "mcs": time.Microsecond, "nanosecond": time.Nanosecond, "ns": time.Nanosecond,
}

// dateDifference is DATEDIFF: it counts the boundaries between a and b.
func dateDifference(part string, a, b time.Time) (int64, bool) {
	a, b = a.UTC(), b.UTC()
	months := int64(b.Year()-a.Year())*12 + int64(b.Month()-a.Month())
	days := int64(b.Truncate(24*time.Hour).Sub(a.Truncate(24*time.Hour)) / (24 * time.Hour))
	switch part {
	case "year", "yy", "yyyy":
		return int64(b.Year() - a.Year()), true
	case "quarter", "qq", "q":
		quarter := func(t time.Time) int64 { return int64(t.Year())*4 + int64(t.Month()-1)/3 }
		return quarter(b) - quarter(a), true
	case "month", "mm", "m":
		return months, true
	case "day", "dd", "d", "dayofyear", "dy", "y":
		return days, true
	case "week", "wk", "ww":
		sunday := func(t time.Time) time.Time {
			return t.Truncate(24*time.Hour).AddDate(0, 0, -int(t.Weekday()))
		}
		return int64(sunday(b).Sub(sunday(a)) / (7 * 24 * time.Hour)), true
	}
	unit, ok := timeParts[part]
	if !ok {
		return 0, false
	}
	return int64(b.Truncate(unit).Sub(a.Truncate(unit)) / unit), true
}

// datePart is DATEPART.
func datePart(part string, v time.Time) (int64, bool) {
	switch part {
	case "year", "yy", "yyyy":
		return int64(v.Year()), true
	case "quarter", "qq", "q":
		return int64(v.Month()-1)/3 + 1, true
	case "month", "mm", "m":
		return int64(v.Month()), true
	case "day", "dd", "d":
		return int64(v.Day()), true
	case "dayofyear", "dy", "y":
		return int64(v.YearDay()), true
	case "weekday", "dw", "w":
		return int64(v.Weekday()) + 1, true
	case "hour", "hh":
		return int64(v.Hour()), true
	case "minute", "mi", "n":
		return int64(v.Minute()), true
	case "second", "ss", "s":
		return int64(v.Second()), true
	}
	unit, ok := timeParts[part]
	if !ok {
		return 0, false
	}
	return int64(v.Nanosecond()) / int64(unit), true
}
