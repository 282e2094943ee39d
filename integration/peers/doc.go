// Package peers shows by tests what docs/coming-from.md says of other ways to
// write in transactions and to keep others out, and what this library does in
// their place. Its tests say what others do today: one that fails after an
// upgrade of a peer tells that the page must be changed.
package peers
