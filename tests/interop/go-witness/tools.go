//go:build tools

// Names the programs that the tests start, so that go.mod and go.sum hold their versions.
package main

import (
	_ "filippo.io/torchwood/cmd/litewitness"
	_ "filippo.io/torchwood/cmd/witnessctl"
)
