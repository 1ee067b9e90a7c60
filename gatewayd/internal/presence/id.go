package presence

import (
	"encoding/hex"
	"fmt"
)

// ID is a UUID (RFC 9562) in binary form: a stream, a boot or a session.
type ID [16]byte

// ParseID reads the 36-character form of a UUID.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("parse id %q: not a UUID", s)
	}
	if _, err := hex.Decode(id[:], []byte(s[0:8]+s[9:13]+s[14:18]+s[19:23]+s[24:36])); err != nil {
		return ID{}, fmt.Errorf("parse id %q: %w", s, err)
	}
	return id, nil
}

// IsZero reports whether the ID was never set.
func (id ID) IsZero() bool { return id == ID{} }

// String is the usual form, 8-4-4-4-12 lower-case hex digits.
func (id ID) String() string {
	var b [36]byte
	id.put(&b)
	return string(b[:])
}

func (id ID) put(b *[36]byte) {
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
}

// AppendText appends the usual form (encoding.TextAppender).
func (id ID) AppendText(dst []byte) ([]byte, error) {
	var b [36]byte
	id.put(&b)
	return append(dst, b[:]...), nil
}

// MarshalText is the usual form (encoding.TextMarshaler).
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText reads the usual form (encoding.TextUnmarshaler).
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}
