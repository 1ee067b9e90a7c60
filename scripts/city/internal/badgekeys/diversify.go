package badgekeys

import (
	"errors"

	"presence/drivers/desfire"
)

// Key is a key of AES-128, which no log and no format shows.
type Key = desfire.Key

// SystemID ends what keys are diversified by. With it that has at least 16 bytes, as
// shorter input makes AN10922 differ from a plain CMAC, which some tools for cards take
// for it.
const SystemID = "gatewayd"

var errInput = errors.New("neither a UID of 7 bytes nor a number of 16")

// Input is what the key of a card is diversified by: its UID of 7 bytes, or the number of
// 16 bytes in its file of a card with a random UID, then the application and SystemID.
func Input(id []byte, app desfire.AID) ([]byte, error) {
	if len(id) != 7 && len(id) != 16 {
		return nil, errInput
	}
	return append(append(append([]byte(nil), id...), app[:]...), SystemID...), nil
}
