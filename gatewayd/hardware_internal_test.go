package main

import (
	"slices"
	"testing"

	"presence/config"
	"presence/drivers/beacon"
)

// TestEveryProtocolIsKnownEverywhere: a configuration can name those protocols
// that have a decoder, and no others.
func TestEveryProtocolIsKnownEverywhere(t *testing.T) {
	named := config.Protocols()
	slices.Sort(named)
	if decoded := beacon.Protocols(); !slices.Equal(named, decoded) {
		t.Errorf("config/hardware.go has the protocols %q, drivers/beacon/protocols.go has decoders for %q", named, decoded)
	}
}
