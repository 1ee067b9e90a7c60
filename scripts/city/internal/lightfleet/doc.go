// Package lightfleet runs many light gateways in one process and has people come to work
// in their offices, so that a city's broker, recorder and database get the load of a whole
// city. It knows what it made, and so what is missing at the end.
//
//	fleet.go    the gateways: start, kill, cut, and what they have done
//	office.go   a morning in one office
package lightfleet
