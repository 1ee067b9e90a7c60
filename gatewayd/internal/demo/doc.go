// Package demo plays an office morning for somebody who has nothing installed: people
// with badges, tags on their way, a broker that goes away and comes back. The hardware
// is mocked below the drivers; the gateway is the real one.
//
// It exists to show the main job in half a minute, and to prove it: at the end it
// compares what the lamp called accepted with what the city got.
package demo
