package config

import (
	"bytes"
	_ "embed"
)

//go:embed gatewayd.toml
var reference []byte

// Reference is the commented reference file: every key with its meaning, unit,
// default and range. It is a valid configuration itself.
func Reference() []byte { return bytes.Clone(reference) }
