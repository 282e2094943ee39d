package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/applock"
)

// describe tells who a session is and since when it holds the lock.
func describe(s applock.Session, now time.Time) string {
	var b strings.Builder
	if s.Label != "" {
		fmt.Fprintf(&b, "%s (%s)", printable(s.Label), session(s))
	} else {
		b.WriteString(session(s))
	}
	if !s.Since.IsZero() {
		fmt.Fprintf(&b, " since %s", clock(s.Since, now))
	}
	return b.String()
}

// session tells the server's name of a session and where it is from.
func session(s applock.Session) string {
	id := "session " + s.ID
	if s.ID == "" {
		id = "a prepared transaction"
	}
	switch {
	case s.User != "" && s.Host != "":
		return fmt.Sprintf("%s, %s@%s", id, printable(s.User), s.Host)
	case s.User != "":
		return fmt.Sprintf("%s, %s", id, printable(s.User))
	}
	return id
}

// clock writes a time of today shortly.
func clock(t, now time.Time) string {
	t = t.Local()
	if t.Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// describeAll tells who some sessions are.
func describeAll(sessions []applock.Session, now time.Time) string {
	if len(sessions) == 0 {
		return "a session that the database does not show"
	}
	all := make([]string, len(sessions))
	for i, s := range sessions {
		all[i] = describe(s, now)
	}
	return strings.Join(all, ", ")
}
