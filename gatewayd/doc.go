// Command gatewayd is the presence gateway of one department: it reads badges
// at the door and the beacons of GPS tags, records both durably, and hands them
// to the city over MQTT.
//
// This package holds the commands and the wiring, one file each; what a
// running gateway does lives in the rooms under internal/, and what it does it
// with in drivers/.
package main
