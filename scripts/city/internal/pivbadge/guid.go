package pivbadge

import (
	"errors"

	"github.com/google/uuid"
)

var errNoGUID = errors.New("want a GUID: 32 hex digits, with or without hyphens as in a UUID")

// ParseGUID reads a GUID as 32 hex digits or as the text of a UUID.
func ParseGUID(s string) (guid uuid.UUID, err error) {
	if len(s) != 32 && len(s) != 36 { // uuid.Parse knows other forms, too
		return guid, errNoGUID
	}
	if guid, err = uuid.Parse(s); err != nil {
		return uuid.UUID{}, errNoGUID
	}
	return guid, nil
}
