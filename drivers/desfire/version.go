package desfire

import (
	"context"
	"fmt"

	"presence/drivers/card"
)

// Version is what a card says of itself. It is a claim that anybody can make.
type Version struct {
	Hardware, Software Part
	UID                card.UID // the zero UID where the card keeps it to itself: random UID
	Batch              [5]byte
	Week, Year         byte // of production, each two decimal digits: 0x25 is 25
}

// Part is one of the two parts of a Version: the chip, or its program.
type Part struct {
	Vendor, Type, Subtype, Major, Minor, Storage, Protocol byte
}

// Family is what such a card is sold as; "" where the pair of type and major version is not
// known.
func (v Version) Family() string {
	switch h := v.Hardware; {
	case h.Type == 0x01 && h.Major == 0x01:
		return "MIFARE DESFire EV1"
	case h.Type == 0x01 && (h.Major == 0x12 || h.Major == 0x22):
		return "MIFARE DESFire EV2"
	case h.Type == 0x01 && h.Major == 0x33:
		return "MIFARE DESFire EV3"
	case h.Type == 0x01 && h.Major == 0xA0:
		return "MIFARE DUOX"
	case h.Type == 0x02:
		return "MIFARE Plus"
	case h.Type == 0x04 && h.Major == 0x30:
		return "NTAG 424 DNA"
	case h.Type == 0x08 && h.Major == 0x30:
		return "MIFARE DESFire Light"
	}
	return ""
}

// GetVersion asks a card of the family what it is (data sheet NT4H2421Gx, 10.5.2). The error
// wraps ErrAbsent where the card does not know the command.
func GetVersion(ctx context.Context, link card.Link) (Version, error) {
	const name = "GetVersion"
	var parts [3][]byte
	command := byte(0x60)
	for i := range parts {
		data, sw, err := transmit(ctx, link, name, command)
		if err != nil {
			return Version{}, err
		}
		want := uint16(statusMore)
		if i == len(parts)-1 {
			want = statusDone
		}
		if sw != want {
			return Version{}, &StatusError{Command: name, SW: sw, kind: meaning(sw)}
		}
		parts[i] = data
		command = 0xAF
	}
	return parseVersion(parts[0], parts[1], parts[2])
}

// parseVersion reads the three parts of the answer. The last one has a byte more where the
// chip comes from another factory (data sheet NT4H2421Gx, table 54).
func parseVersion(hardware, software, production []byte) (Version, error) {
	if len(hardware) != 7 || len(software) != 7 || len(production) < 14 || len(production) > 15 {
		return Version{}, fmt.Errorf("GetVersion: %w: %d, %d and %d bytes",
			ErrMalformed, len(hardware), len(software), len(production))
	}
	part := func(b []byte) Part { return Part{b[0], b[1], b[2], b[3], b[4], b[5], b[6]} }
	v := Version{
		Hardware: part(hardware),
		Software: part(software),
		Batch:    [5]byte(production[7:12]),
		Week:     production[12],
		Year:     production[13],
	}
	if [7]byte(production) != [7]byte{} {
		uid, err := card.NewUID(production[:7])
		if err != nil {
			return Version{}, fmt.Errorf("GetVersion: %w: %w", ErrMalformed, err)
		}
		v.UID = uid
	}
	return v, nil
}
