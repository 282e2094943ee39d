// Package docs tests the Markdown files of this module: that their code is that
// of tested Examples, and that what they name exists.
package docs
