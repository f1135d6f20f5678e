//go:build tools

// Package servers pins the programs that are built as they are.
package servers

import (
	_ "github.com/moby/buildkit/cmd/buildctl"
	_ "github.com/moby/buildkit/cmd/buildkitd"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
