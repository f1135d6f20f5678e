//go:build tools

// Package acme pins the program that is built as it is.
package acme

import _ "github.com/letsencrypt/pebble/v2/cmd/pebble"
