package applets

import (
	"crypto/sha256"

	"presence/drivers/card"
)

// KeyNumber is the key of a simulated DESFire or NTAG 424 that gateways know: it reads
// the UID, and may change nothing.
const KeyNumber = 1

// Application is that of a simulated DESFire, most significant byte first.
func Application() [3]byte { return [3]byte{0xF5, 0x42, 0x30} }

// madeOf makes secrets and numbers of simulated cards out of a fixed text.
func madeOf(text string, b []byte) (made [16]byte) {
	h := sha256.Sum256(append(append([]byte(text), 0), b...))
	copy(made[:], h[:])
	return made
}

// RealUID is the UID of the card that shows this one: the same, where it has the 7 bytes
// that every DESFire has. What shows another one shows random ones (ISO/IEC 14443-3,
// 6.5.4), and the simulated card behind it is always the same.
func RealUID(shown card.UID) (uid [7]byte) {
	if shown.Len() == len(uid) {
		return [7]byte(shown.Bytes())
	}
	made := madeOf("gatewayd sim real uid", shown.Bytes())
	copy(uid[:], made[:])
	uid[0] = 0x04 // NXP
	return uid
}

// Number is the badge number in the free file 01 of a simulated DESFire.
func Number(uid [7]byte) [16]byte { return madeOf("gatewayd sim badge number", uid[:]) }

// CardKey is the key with KeyNumber of the simulated card with this UID: the test master
// key, diversified by AN10922 over UID || application || "gatewayd".
func CardKey(uid [7]byte) [16]byte { return simulatedKey(uid[:]) }

// NumberKey is that of a simulated DESFire which shows random UIDs. It is diversified
// over the badge number in place of the UID, which nobody knows before the
// authentication.
func NumberKey(number [16]byte) [16]byte { return simulatedKey(number[:]) }

func simulatedKey(input []byte) [16]byte {
	application := Application()
	m := append(append([]byte(nil), input...), application[:]...)
	key, err := diversify(madeOf("gatewayd sim badge master key", nil), append(m, "gatewayd"...))
	if err != nil {
		panic("make key of simulated card: " + err.Error()) // at most 27 bytes
	}
	return key
}
