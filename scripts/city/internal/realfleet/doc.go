// Package realfleet starts real gateways, many on one machine: each is a gatewayd of its
// own with its own configuration, journal and control socket, a simulated badge reader
// and, where tags are wanted, a pseudo terminal in place of a radio.
//
// It exists for what only the real program tells: what a gateway costs in memory and
// processor time, and whether what it records reaches the city when it is killed.
//
//	gateway.go   one gateway: its configuration and process
//	fleet.go     many of them
//	control.go   what is asked of it over its control socket
//	radio.go     the pseudo terminal on which tags are heard
//	cost.go      memory and processor time of a process
package realfleet
