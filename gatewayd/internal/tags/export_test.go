package tags

import (
	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
)

// Classify tells on which side of the fence a position is that is right within
// accuracy metres.
func (f *Fence) Classify(lat, lon, accuracy float64) presence.Zone {
	return classify(f.beyond(lat, lon), accuracy)
}

// Reject is what a receiver calls for each rejected frame.
func (t *Tags) Reject(receiver string, why beacon.Reason) { t.reject(receiver, why) }
