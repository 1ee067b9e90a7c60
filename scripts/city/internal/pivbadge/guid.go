package pivbadge

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/google/uuid"
)

var errNoGUID = errors.New("want a GUID: 32 hex digits, with or without hyphens as in a UUID")

// ParseGUID reads a GUID as 32 hex digits or as the text of a UUID.
func ParseGUID(s string) (guid uuid.UUID, err error) {
	digits := s
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		digits = strings.ReplaceAll(s, "-", "")
	}
	if len(digits) != 32 {
		return guid, errNoGUID
	}
	if _, err := hex.Decode(guid[:], []byte(digits)); err != nil {
		return uuid.UUID{}, errNoGUID
	}
	return guid, nil
}
