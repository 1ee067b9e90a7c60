package sim

import (
	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
)

// BadgeCA is the authority of simulated PIV badges, PEM. It is the same in every build,
// so that a gateway whose hardware is real can refuse it.
func BadgeCA() []byte {
	a, err := applets.NewAuthority()
	if err != nil {
		panic(err) // it is made from a constant
	}
	return a.PEM()
}

// BadgeKey is the key, number 1, of the simulated DESFire or NTAG 424 with this UID: a
// test master key, diversified by AN10922 over UID || F54230 || "gatewayd".
func BadgeKey(uid card.UID) [16]byte { return applets.CardKey(applets.RealUID(uid)) }

// NumberKey is that of a simulated DESFire with a random UID and this number in its free
// file 01, diversified over number || F54230 || "gatewayd".
func NumberKey(number [16]byte) [16]byte { return applets.NumberKey(number) }
