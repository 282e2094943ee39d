// Package sqltext reads what all engines write alike in the text of a statement.
package sqltext

import "strings"

// WordSet returns the words of a list as a set.
func WordSet(list string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}

// Through returns the length of s up to the end of shut, or all of it.
func Through(s, shut string) int {
	if i := strings.Index(s, shut); i >= 0 {
		return i + len(shut)
	}
	return len(s)
}

// BlockComment returns the length of the block comment that s begins with, 0 if
// it does not. Comments nest; an unclosed one reaches to the end.
func BlockComment(s string) int {
	if !strings.HasPrefix(s, "/*") {
		return 0
	}
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(s)
}
