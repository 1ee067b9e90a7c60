package uplink

import "github.com/eclipse/paho.mqtt.golang/packets"

// noStore is a store for paho's client that keeps nothing. What waits is in the journal,
// and paho reads its store only to go on with an earlier session, which a client with a
// clean session never does.
type noStore struct{}

// Open implements mqtt.Store.
func (noStore) Open() {}

// Put implements mqtt.Store.
func (noStore) Put(string, packets.ControlPacket) {}

// Get implements mqtt.Store.
func (noStore) Get(string) packets.ControlPacket { return nil }

// All implements mqtt.Store.
func (noStore) All() []string { return nil }

// Del implements mqtt.Store.
func (noStore) Del(string) {}

// Close implements mqtt.Store.
func (noStore) Close() {}

// Reset implements mqtt.Store.
func (noStore) Reset() {}
