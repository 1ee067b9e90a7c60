package cardlist

import (
	"encoding/hex"
	"strings"
)

// ParseGUID reads the GUID of a PIV card (NIST SP 800-73-4, part 1, 3.1.2): 32 hex digits
// or, with hyphens, the text of a UUID (RFC 9562). No UID has as many digits, in whatever
// notation a list has them, and a GUID is never written the other way round. One of zeros
// only is nobody's: it stands in cards that were given none.
func ParseGUID(s string) (guid [16]byte, ok bool) {
	b, err := hex.DecodeString(plainHex(s))
	if err != nil || len(b) != len(guid) {
		return guid, false
	}
	guid = [16]byte(b)
	return guid, guid != [16]byte{}
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
