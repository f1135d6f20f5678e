//go:build tools

package cyclonus

import _ "github.com/mattfenwick/cyclonus/cmd/cyclonus"
