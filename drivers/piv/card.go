package piv

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"presence/drivers/card"
)

// What one card may take of a door's time, whatever it sends.
const (
	maxObject    = 4 << 10 // bytes of one answer, all its parts together
	maxReceived  = 8 << 10 // bytes of all answers, status bytes included
	maxExchanges = 40
	maxAnswer    = 256 + 2 // bytes of an answer to a short command, status bytes included
)

// Card is a card whose PIV application is selected. One goroutine uses it.
type Card struct {
	link       card.Link
	algorithms []byte

	exchanges int
	received  int
}

// Select selects the PIV application (SP 800-73-5 part 2, 3.1.1). The error wraps ErrAbsent
// where the card refuses, by whatever status: cards without the application answer each in
// their own way. It wraps ErrMalformed where the card agrees and sends no application
// property template.
func Select(ctx context.Context, link card.Link) (*Card, error) {
	c := &Card{link: link}
	answer, err := c.command(ctx, "SELECT PIV", func(uint16) error { return ErrAbsent },
		0x00, 0xA4, 0x04, 0x00, 0x0B, 0xA0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00, 0x00)
	if err != nil {
		return nil, err
	}
	c.algorithms, err = parseTemplate(answer)
	if err != nil {
		return nil, fmt.Errorf("read application template: %w", err)
	}
	return c, nil
}

// parseTemplate reads the application property template, and returns the algorithm
// identifiers that it lists, by SP 800-78-5 table 6-2 and what applets add (tag AC, with
// a tag 80 for each).
func parseTemplate(b []byte) ([]byte, error) {
	template, err := only(b, 0x61)
	if err != nil {
		return nil, err
	}
	all, err := objects(template)
	if err != nil {
		return nil, err
	}
	if _, err := one(all, 0x4F); err != nil { // the application's identifier
		return nil, err
	}
	var algorithms []byte
	for _, o := range all {
		if o.tag != 0xAC {
			continue
		}
		list, err := objects(o.value)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if a.tag == 0x80 && len(a.value) == 1 {
				algorithms = append(algorithms, a.value[0])
			}
		}
	}
	return algorithms, nil
}

// Algorithms are the identifiers of the algorithms that the card lists when it is selected,
// such as 0x11; none where it does not say. Some cards list only those of secure messaging,
// 0x27 or 0x2E.
func (c *Card) Algorithms() []byte { return append([]byte(nil), c.algorithms...) }

// GUID reads the card holder unique identifier and returns its GUID, which is the card's
// name and proves nothing (SP 800-73-5 part 1, 3.1.2). The error wraps ErrAbsent where the
// card has none.
func (c *Card) GUID(ctx context.Context) (uuid.UUID, error) {
	b, err := c.data(ctx, 0x02)
	if err != nil {
		return uuid.UUID{}, err
	}
	guid, err := parseCHUID(b)
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("read CHUID: %w", err)
	}
	return guid, nil
}

// parseCHUID returns the GUID (tag 34) of a card holder unique identifier.
func parseCHUID(b []byte) (uuid.UUID, error) {
	value, err := only(b, 0x53)
	if err != nil {
		return uuid.UUID{}, err
	}
	all, err := objects(value)
	if err != nil {
		return uuid.UUID{}, err
	}
	guid, err := one(all, 0x34)
	if err != nil {
		return uuid.UUID{}, err
	}
	if len(guid) != 16 || uuid.UUID(guid) == uuid.Nil {
		return uuid.UUID{}, fmt.Errorf("%w: GUID % X", ErrMalformed, guid)
	}
	return uuid.UUID(guid), nil
}

// Certificate reads the certificate of the card authentication key, in DER. It is not
// looked at. The error wraps ErrAbsent where the card has none, and ErrBadCertificate where
// it is compressed: a certificate of a badge is short enough without.
func (c *Card) Certificate(ctx context.Context) ([]byte, error) {
	b, err := c.data(ctx, 0x01)
	if err != nil {
		return nil, err
	}
	der, err := parseCertificateObject(b)
	if err != nil {
		return nil, fmt.Errorf("read certificate object: %w", err)
	}
	return der, nil
}

// parseCertificateObject returns the certificate (tag 70) of such an object (SP 800-73-5
// part 1, appendix A, table 15).
func parseCertificateObject(b []byte) ([]byte, error) {
	value, err := only(b, 0x53)
	if err != nil {
		return nil, err
	}
	all, err := objects(value)
	if err != nil {
		return nil, err
	}
	der, err := one(all, 0x70)
	if err != nil {
		return nil, err
	}
	info, err := one(all, 0x71)
	if err != nil {
		return nil, err
	}
	if len(info) != 1 {
		return nil, fmt.Errorf("%w: CertInfo of %d bytes", ErrMalformed, len(info))
	}
	if info[0] != 0 {
		return nil, fmt.Errorf("%w: compressed (CertInfo %02X)", ErrBadCertificate, info[0])
	}
	if len(der) == 0 {
		return nil, fmt.Errorf("%w: empty", ErrBadCertificate)
	}
	return der, nil
}

// data reads the data object 5FC1xx, with its tag 53 (SP 800-73-5 part 2, 3.1.2).
func (c *Card) data(ctx context.Context, object byte) ([]byte, error) {
	return c.command(ctx, fmt.Sprintf("GET DATA 5FC1%02X", object), dataStatus,
		0x00, 0xCB, 0x3F, 0xFF, 0x05, 0x5C, 0x03, 0x5F, 0xC1, object, 0x00)
}

// command sends a command and returns the answer's data, which it fetches part by part
// where the card has more (61xx, ISO/IEC 7816-4, 5.6).
func (c *Card) command(ctx context.Context, name string, refused func(uint16) error, apdu ...byte) ([]byte, error) {
	var answer []byte
	for {
		if c.exchanges == maxExchanges || c.received >= maxReceived {
			return nil, fmt.Errorf("%s: %w: more than %d exchanges, or %d bytes in all", name, ErrMalformed, maxExchanges, maxReceived)
		}
		c.exchanges++
		part, err := c.link.Exchange(ctx, apdu)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c.received += len(part)
		if len(part) < 2 || len(part) > maxAnswer {
			return nil, fmt.Errorf("%s: %w: %d bytes at once", name, ErrMalformed, len(part))
		}
		data, sw1, sw2 := part[:len(part)-2], part[len(part)-2], part[len(part)-1]
		if len(answer)+len(data) > maxObject {
			return nil, fmt.Errorf("%s: %w: more than %d bytes", name, ErrMalformed, maxObject)
		}
		answer = append(answer, data...)
		switch {
		case sw1 == 0x90 && sw2 == 0x00:
			return answer, nil
		case sw1 != 0x61:
			sw := uint16(sw1)<<8 | uint16(sw2)
			return nil, &StatusError{Command: name, SW: sw, kind: refused(sw)}
		}
		apdu = []byte{0x00, 0xC0, 0x00, 0x00, sw2}
	}
}
