// Package kittest plays the city of a test with what the city is given: its
// certificate authority (scripts/city/ca.sh), its mosquitto with the delivered
// configuration and ACL, and the stick that a technician carries.
//
// It exists because what those files promise can only be tried together, with a
// real broker and real certificates.
package kittest
