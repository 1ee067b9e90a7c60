// Package pivbadge is what the city knows of badges that prove themselves by a PIV
// certificate: the GUID by which such a badge is known, the form of its certificate
// (which ca.sh badge issues), and the list of those that were revoked.
//
// It exists so that what the city signs and what it checks later go by one reading of the
// rules. The gateway has a reading of its own, which imports nothing of this.
package pivbadge
