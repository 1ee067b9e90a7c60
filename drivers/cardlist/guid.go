package cardlist

import (
	"encoding/hex"
	"strings"
)

// ParseGUID reads the GUID of a PIV card, which is a UUID (NIST SP 800-73-4, part 1, 3.4.1;
// RFC 9562): 32 hex digits, or its text with hyphens. No UID has as many digits, in whatever
// notation a list has them, and a GUID is never written the other way round. The hash of an
// event's badge without its "h:" has as many; version and variant of a UUID tell seven of
// eight such hashes from a GUID.
func ParseGUID(s string) (guid [16]byte, ok bool) {
	b, err := hex.DecodeString(plainHex(s))
	if err != nil || len(b) != len(guid) {
		return guid, false
	}
	guid = [16]byte(b)
	version, variant := guid[6]>>4, guid[8]>>6
	return guid, version >= 1 && version <= 8 && variant == 0b10
}

// GUID is the GUID that stands in a cell; false where none does, or where a spreadsheet may
// have cut off its digits.
func (c Cell) GUID() (guid [16]byte, ok bool) {
	if !c.IsText && rounded.MatchString(c.Text) {
		return guid, false
	}
	return ParseGUID(c.Text)
}

// plainHex takes off what people write between bytes.
func plainHex(s string) string { return strings.NewReplacer(":", "", " ", "", "-", "").Replace(s) }
