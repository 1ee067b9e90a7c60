// Package demo plays an office morning for somebody who has nothing installed: people
// with badges, tags on their way, a broker that goes away and comes back. The hardware
// is mocked below the drivers; the gateway is the real one.
//
// It exists to show the main job in half a minute, and to prove it: at the end it
// compares what the lamp called accepted with what the city got.
//
// Its gateway sends events one by one: what unpacks batches is the city's
// (scripts/city/unpack) and no part of gatewayd, and on a line within one machine there
// is nothing to be saved.
package demo
