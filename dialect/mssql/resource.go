package mssql

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"unicode/utf16"
)

// maxResource is the length of a lock's resource in UTF-16 units; the server
// cuts what is longer without a word.
const maxResource = 255

// visibleResource is how many units of a resource the server shows.
const visibleResource = 32

// headLength is how much of a long name its resource shows.
const headLength = 11

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Resource returns what sp_getapplock is given as @Resource for a lock's name:
// the name itself if it has at most 255 UTF-16 units, else its first 11 units,
// a tilde, and the SHA-256 of its UTF-8 bytes in lower-case base32 (RFC 4648)
// without padding. Scripts that take the same locks need it for long names only.
func Resource(name string) string {
	units := utf16.Encode([]rune(name))
	if len(units) <= maxResource {
		return name
	}
	head := units[:headLength]
	if utf16.IsSurrogate(rune(head[headLength-1])) && utf16.IsSurrogate(rune(units[headLength])) &&
		utf16.DecodeRune(rune(head[headLength-1]), rune(units[headLength])) != '\uFFFD' {
		head = head[:headLength-1] // not half a character
	}
	sum := sha256.Sum256([]byte(name))
	return string(utf16.Decode(head)) + "~" + lowerBase32.EncodeToString(sum[:])
}

// literal returns a Transact-SQL expression for a text. In a quoted literal a
// backslash before a line's end would vanish: all but plain characters are
// given as bytes.
func literal(text string) string {
	plain := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '\'' || r == '\\' }) < 0
	if plain {
		return "N'" + text + "'"
	}
	var bytes []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		bytes = append(bytes, byte(unit), byte(unit>>8))
	}
	return fmt.Sprintf("CAST(0x%x AS nvarchar(255))", bytes)
}

// visible returns the part of a resource that the server shows.
func visible(resource string) string {
	units := utf16.Encode([]rune(resource))
	return string(utf16.Decode(units[:min(len(units), visibleResource)]))
}
