// Package alerts is the catalogue of everything a gateway can complain of: the
// code in the topic `alert/<code>`, the level, the texts in Indonesian and
// English, the threshold where it comes from numbers, and whether the gateway
// could not do its work meanwhile, which then is a line of the evidence sheet.
//
// It exists so that all of this is said once. Who raises an alert names a Kind
// and fills in what the texts leave open; nothing else in the gateway makes an
// alert, and nothing takes a code to pieces to learn what it is about.
//
// What to do to add an alert is in gatewayd/HOUSE.md, under "Add an alert".
//
// The package knows nothing of the gateway's other rooms.
package alerts
