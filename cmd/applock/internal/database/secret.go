package database

import (
	"net/url"
	"slices"
	"strings"
)

// Secret reports whether address holds a password, or cannot be read, so that
// it might.
func Secret(address string) bool {
	return len(secrets(address)) > 0
}

// secrets returns the texts of a URL that nobody must see, as they are written
// there and as they are meant.
func secrets(address string) (texts []string) {
	u, err := url.Parse(address)
	if err != nil {
		return []string{address}
	}
	if password, set := u.User.Password(); set && password != "" {
		_, written, _ := strings.Cut(u.User.String(), ":")
		texts = append(texts, password, written)
		if head, _, found := strings.Cut(address, "@"); found {
			_, rest, _ := strings.Cut(head, "://")
			_, written, _ = strings.Cut(rest, ":")
			texts = append(texts, written)
		}
	}
	for key, values := range u.Query() {
		if strings.Contains(strings.ToLower(key), "password") || strings.EqualFold(key, "pwd") {
			for _, value := range values {
				texts = append(texts, value, url.QueryEscape(value))
			}
		}
	}
	texts = slices.DeleteFunc(texts, func(text string) bool { return text == "" })
	// The longest first: one may be a part of another.
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(texts)
}

// hidden stands for what nobody must see.
const hidden = "***"

// Hide returns err, whose text is without the secrets of address.
func Hide(err error, address string) error {
	if err == nil {
		return nil
	}
	found := secrets(address)
	if len(found) == 0 {
		return err
	}
	text := err.Error()
	for _, secret := range append([]string{address}, found...) {
		// Of a secret that short, most occurrences are not it.
		if len(secret) > 2 {
			text = strings.ReplaceAll(text, secret, hidden)
		}
	}
	if text == err.Error() {
		return err
	}
	return hiding{err, text}
}

// hiding is an error with another text.
type hiding struct {
	error
	text string
}

// Error returns the text without secrets.
func (h hiding) Error() string { return h.text }

// Unwrap returns the error itself.
func (h hiding) Unwrap() error { return h.error }
