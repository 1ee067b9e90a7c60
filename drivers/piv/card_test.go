package piv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"presence/drivers/card"
	"presence/drivers/cardtest/linktest"
)

// linkFunc is a card that is a function.
type linkFunc func(command []byte) ([]byte, error)

func (linkFunc) ATS() []byte { return nil }

func (f linkFunc) Exchange(_ context.Context, command []byte) ([]byte, error) { return f(command) }

// TestSelect plays what cards answer to the selection.
func TestSelect(t *testing.T) {
	for _, tc := range []struct {
		answer string
		want   error
	}{
		{template, nil},
		{"6108 4F06 000010000100 9000", nil},
		{"6A82", ErrAbsent},
		{"6A81", ErrAbsent},
		{"6D00", ErrAbsent},
		{"6E00", ErrAbsent},
		{"6985", ErrAbsent},
		{"6982", ErrAbsent},
		{"911C", ErrAbsent},
		{"917E", ErrAbsent},
		{"6283", ErrAbsent},
		{"9000", ErrMalformed}, // a card that says yes to everything
		{"6F08 8406 000010000100 9000", ErrMalformed},
		{"6100 9000", ErrMalformed},
		{"6108 4F06 0000100001 9000", ErrMalformed},
		{"6108 4F06 000010000100 00 9000", ErrMalformed},
		{"6110 4F06 000010000100 4F06 000010000100 9000", ErrMalformed},
		{"610D 4F06 000010000100 AC03 800211 9000", ErrMalformed},
		{"90", ErrMalformed},
		{"", card.ErrGone},
	} {
		s := linktest.Play(t, "> "+selectPIV+"\n< "+tc.answer)
		s.Err = card.ErrGone
		if _, err := Select(t.Context(), s); !errors.Is(err, tc.want) {
			t.Errorf("%s: error is %v, want %v", tc.answer, err, tc.want)
		}
		s.Over()
	}
}

// TestAlgorithms: what a card lists decides whether it is asked to sign. One that lists
// only secure messaging, as test cards of NIST do, or nothing, is asked.
func TestAlgorithms(t *testing.T) {
	for _, tc := range []struct {
		list       string // in the template
		want       string
		p256, p384 bool
	}{
		{"", "", true, true},
		{"AC06 800111 060100", "11", true, false},
		{"AC09 800111 800114 060100", "1114", true, true},
		{"AC0B 800103 800107 800114 0600", "030714", false, true},
		{"AC06 800127 060100", "27", true, true},
		{"AC06 80012E 060100 AC06 800111 060100", "2E11", true, false},
		{"AC0B 800103 8001F0 8001F1 0600", "03F0F1", false, false}, // hashes on the card itself
		{"AC07 80021114 060100", "", true, true},                   // names none that can be read
	} {
		list := linktest.Unhex(t, tc.list)
		answer := append([]byte{0x61, byte(8 + len(list)), 0x4F, 0x06, 0, 0, 0x10, 0, 0x01, 0}, list...)
		asked := 0
		c, err := Select(t.Context(), linkFunc(func([]byte) ([]byte, error) {
			asked++
			if asked == 1 {
				return append(answer, 0x90, 0x00), nil
			}
			return []byte{0x6A, 0x80}, nil
		}))
		if err != nil {
			t.Errorf("%s: %v", tc.list, err)
			continue
		}
		if got := fmt.Sprintf("%X", c.Algorithms()); got != tc.want {
			t.Errorf("%s: algorithms %s, want %s", tc.list, got, tc.want)
		}
		for a, may := range map[Algorithm]bool{P256: tc.p256, P384: tc.p384} {
			before := asked
			_, err := c.Sign(t.Context(), a, make([]byte, a.Hash().Size()))
			if !errors.Is(err, ErrAlgorithm) || asked > before != may {
				t.Errorf("%s, %v: error %v, asked %v", tc.list, a, err, asked > before)
			}
		}
	}
}

// TestGUID reads CHUIDs that are right, and all that are not.
func TestGUID(t *testing.T) {
	const guid = "3410 8CA01F9E5A9E8D1B9C0D51E3A5B2C7D8"
	const zero = "3410 00000000000000000000000000000000"
	for _, tc := range []struct {
		value string // of tag 53
		want  error
	}{
		{guid, nil},
		{"EE02 0040 3019" + strings.Repeat("D4", 25) + guid + "3508 3230333031323331 3E00 FE00", nil},
		{"5F5003 616263" + guid, nil},                                  // a tag of two bytes
		{"3482 0010" + "8CA01F9E5A9E8D1B9C0D51E3A5B2C7D8", nil},        // room in the length
		{zero, ErrMalformed},                                           //
		{guid + guid, ErrMalformed},                                    // which one?
		{guid + zero, ErrMalformed},                                    //
		{"", ErrMalformed},                                             //
		{"3508 3230333031323331", ErrMalformed},                        // no GUID
		{"340F 8CA01F9E5A9E8D1B9C0D51E3A5B2C7", ErrMalformed},          // too short
		{"3411 8CA01F9E5A9E8D1B9C0D51E3A5B2C7D800", ErrMalformed},      // too long
		{"3410 8CA01F9E5A9E8D1B9C0D51E3A5B2C7", ErrMalformed},          // cut
		{"3480 8CA01F9E5A9E8D1B9C0D51E3A5B2C7D8 0000", ErrMalformed},   // indefinite
		{"3483 000010 8CA01F9E5A9E8D1B9C0D51E3A5B2C7D8", ErrMalformed}, // longer than can be
		{guid + "35", ErrMalformed},                                    // tag alone
		{guid + "3582 00", ErrMalformed},                               // length cut
		{guid + "3581", ErrMalformed},                                  //
		{guid + "00 00", ErrMalformed},                                 // filled up
		{guid + "1F80 01 00", ErrMalformed},                            // leading zero of a tag
		{guid + "1F8181 01 00", ErrMalformed},                          // endless tag
		{guid + "1F81", ErrMalformed},                                  // tag cut
		{guid + "FE01", ErrMalformed},                                  // value missing
	} {
		value := linktest.Unhex(t, tc.value)
		object := append([]byte{0x53, byte(len(value))}, value...)
		c, s := selected(t, fmt.Sprintf("> 00 CB 3F FF 05 5C 03 5FC102 00\n< %X 9000", object))
		got, err := c.GUID(t.Context())
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: error is %v, want %v", tc.value, err, tc.want)
		}
		if tc.want == nil && got.String() != "8ca01f9e-5a9e-8d1b-9c0d-51e3a5b2c7d8" {
			t.Errorf("%s: GUID %v", tc.value, got)
		}
		s.Over()
	}
	for _, object := range []string{"", "30 12" + guid, "5313" + guid, "5312" + guid + "00", "5312" + guid + "5300"} {
		c, _ := selected(t, "> 00 CB 3F FF 05 5C 03 5FC102 00\n< "+object+"9000")
		if _, err := c.GUID(t.Context()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error is %v", object, err)
		}
	}
}

// TestCertificateObject reads certificate objects that are right, and all that are not.
func TestCertificateObject(t *testing.T) {
	for _, tc := range []struct {
		value string // of tag 53
		want  error
	}{
		{"7003 A1A2A3 710100 FE00", nil},
		{"7003 A1A2A3 710100", nil},
		{"7082 0003 A1A2A3 710100 7200 FE00", nil},
		{"7003 A1A2A3 710101 FE00", ErrBadCertificate}, // gzip
		{"7003 A1A2A3 710180 FE00", ErrBadCertificate},
		{"7000 710100 FE00", ErrBadCertificate},
		{"7003 A1A2A3 FE00", ErrMalformed},
		{"7003 A1A2A3 7100 FE00", ErrMalformed},
		{"7003 A1A2A3 71020000 FE00", ErrMalformed},
		{"7003 A1A2A3 710100 710100", ErrMalformed},
		{"7003 A1A2A3 710100 7003 A1A2A3", ErrMalformed},
		{"710100 FE00", ErrMalformed},
		{"7004 A1A2A3", ErrMalformed},
		{"", ErrMalformed},
	} {
		value := linktest.Unhex(t, tc.value)
		object := append([]byte{0x53, byte(len(value))}, value...)
		c, s := selected(t, fmt.Sprintf("> 00 CB 3F FF 05 5C 03 5FC101 00\n< %X 9000", object))
		der, err := c.Certificate(t.Context())
		if !errors.Is(err, tc.want) || (tc.want == nil) != bytes.Equal(der, []byte{0xA1, 0xA2, 0xA3}) {
			t.Errorf("%s: % X, error %v, want %v", tc.value, der, err, tc.want)
		}
		s.Over()
	}
}

// TestRefusals: each status has its meaning, by what was asked.
func TestRefusals(t *testing.T) {
	for status, want := range map[string][3]error{ // CHUID, certificate, signature
		"6A82": {ErrAbsent, ErrAbsent, ErrAbsent},
		"6A88": {ErrAbsent, ErrAbsent, ErrAbsent},
		"6982": {ErrPIN, ErrPIN, ErrPIN},
		"6A80": {ErrMalformed, ErrMalformed, ErrAlgorithm},
		"6A81": {ErrAbsent, ErrAbsent, ErrAlgorithm},
		"6A86": {ErrMalformed, ErrMalformed, ErrAlgorithm},
		"6984": {ErrMalformed, ErrMalformed, ErrMalformed},
		"6985": {ErrMalformed, ErrMalformed, ErrMalformed},
		"6D00": {ErrMalformed, ErrMalformed, ErrMalformed},
		"6F00": {ErrMalformed, ErrMalformed, ErrMalformed},
		"6282": {ErrMalformed, ErrMalformed, ErrMalformed},
		"9100": {ErrMalformed, ErrMalformed, ErrMalformed},
		"9001": {ErrMalformed, ErrMalformed, ErrMalformed},
	} {
		for i, ask := range []func(*Card) error{
			func(c *Card) error { _, err := c.GUID(t.Context()); return err },
			func(c *Card) error { _, err := c.Certificate(t.Context()); return err },
			func(c *Card) error { _, err := c.Sign(t.Context(), P256, make([]byte, 32)); return err },
		} {
			c := &Card{link: linkFunc(func([]byte) ([]byte, error) { return linktest.Unhex(t, status), nil })}
			err := ask(c)
			var typed *StatusError
			if !errors.Is(err, want[i]) || !errors.As(err, &typed) || fmt.Sprintf("%04X", typed.SW) != status {
				t.Errorf("%s to command %d: error is %v, want %v", status, i, err, want[i])
			}
		}
	}
}

// TestSign plays both algorithms, and answers that hold no signature.
func TestSign(t *testing.T) {
	hash := strings.Repeat("A5", 48)
	c, s := selected(t, "> 00 87 14 9E 36 7C 34 82 00 81 30 "+hash+" 00\n< 7C04 8202 3000 9000")
	signature, err := c.Sign(t.Context(), P384, linktest.Unhex(t, hash))
	if err != nil || !bytes.Equal(signature, []byte{0x30, 0x00}) {
		t.Errorf("signature % X, %v", signature, err)
	}
	s.Over()
	for _, answer := range []string{
		"9000", "8202 3000 9000", "7C00 9000", "7C04 8102 3000 9000", "7C05 8202 3000 9000", "7C04 8203 3000 9000",
		"7C04 8202 3000 00 9000", "7C06 8202 3000 8200 9000", "7C06 8200 8202 3000 9000", "7C06 8202 3000 8000 9000", "7C80 8202 3000 0000 9000",
	} {
		c, _ := selected(t, "> 00 87 11 9E 26 7C 24 82 00 81 20 "+vectorHash+" 00\n< "+answer)
		if signature, err := c.Sign(t.Context(), P256, linktest.Unhex(t, vectorHash)); !errors.Is(err, ErrMalformed) || signature != nil {
			t.Errorf("%s: signature % X, %v", answer, signature, err)
		}
	}
	for _, tc := range []struct {
		a Algorithm
		n int
	}{{P256, 0}, {P256, 31}, {P256, 48}, {P384, 32}, {0x07, 32}, {0xF1, 32}, {0, 0}} {
		c, s := selected(t, "")
		if _, err := c.Sign(t.Context(), tc.a, make([]byte, tc.n)); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%v over %d bytes: %v", tc.a, tc.n, err)
		}
		s.Over()
	}
}

// TestParts: an answer may come in as many parts as it likes, within bounds.
func TestParts(t *testing.T) {
	value := slices.Concat(linktest.Unhex(t, "7082 0100"), bytes.Repeat([]byte{0xC3}, 256), linktest.Unhex(t, "710100 FE00"))
	object := append([]byte{0x53, 0x82, byte(len(value) >> 8), byte(len(value))}, value...)
	for _, size := range []int{8, 11, 60, 255, 256} {
		rest := object
		var commands [][]byte
		c := &Card{link: linkFunc(func(command []byte) ([]byte, error) {
			commands = append(commands, bytes.Clone(command))
			n := min(size, len(rest))
			part := bytes.Clone(rest[:n])
			rest = rest[n:]
			if len(rest) == 0 {
				return append(part, 0x90, 0x00), nil
			}
			return append(part, 0x61, byte(min(size, len(rest)))), nil
		})}
		der, err := c.Certificate(t.Context())
		if err != nil || !bytes.Equal(der, bytes.Repeat([]byte{0xC3}, 256)) {
			t.Errorf("parts of %d bytes: %d bytes, %v", size, len(der), err)
		}
		left := len(object)
		for i, command := range commands[1:] {
			left -= size
			if want := []byte{0x00, 0xC0, 0x00, 0x00, byte(min(size, left))}; !bytes.Equal(command, want) {
				t.Errorf("parts of %d bytes: command %d is % X, want % X", size, i+1, command, want)
			}
		}
	}
}

// TestBounds: no card is asked for more than 40 answers, 4 KiB of one object and 8 KiB in
// all, whatever it announces.
func TestBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		part            int // bytes of each part
		sw              byte
		rounds          int // how often the certificate is asked for
		asked, received int // at most
	}{
		"endless small parts":   {1, 0x61, 1, 40, 200},
		"endless empty parts":   {0, 0x61, 1, 40, 200},
		"endless full parts":    {256, 0x61, 1, 17, 4700},
		"endless large parts":   {100, 0x61, 1, 40, 4700},
		"more than was asked":   {257, 0x61, 1, 1, 300},
		"a large part":          {20000, 0x90, 1, 1, 20100},
		"one small object each": {10, 0x90, 100, 40, 1000},
		"one large object each": {256, 0x90, 100, 32, 8192 + 258},
	} {
		t.Run(name, func(t *testing.T) {
			asked, received := 0, 0
			c := &Card{link: linkFunc(func([]byte) ([]byte, error) {
				asked++
				answer := append(make([]byte, tc.part), tc.sw, 0x00)
				received += len(answer)
				return answer, nil
			})}
			for range tc.rounds {
				if _, err := c.Certificate(t.Context()); !errors.Is(err, ErrMalformed) {
					t.Fatalf("error is %v", err)
				}
			}
			if asked > tc.asked || received > tc.received {
				t.Errorf("%d commands, %d bytes, want at most %d and %d", asked, received, tc.asked, tc.received)
			}
		})
	}
}

// TestLinkEnds: what has become of the link is in the error, wherever it ends.
func TestLinkEnds(t *testing.T) {
	for _, cause := range []error{card.ErrGone, card.ErrTooSlow, card.ErrProtocol, context.Canceled} {
		for n := range 3 {
			left := n
			c := &Card{link: linkFunc(func([]byte) ([]byte, error) {
				if left == 0 {
					return nil, fmt.Errorf("exchange: %w", cause)
				}
				left--
				return []byte{0x53, 0x61, 0x05}, nil
			})}
			if _, err := c.GUID(t.Context()); !errors.Is(err, cause) || errors.Is(err, ErrMalformed) {
				t.Errorf("after %d answers: error is %v", n, err)
			}
		}
	}
}

// TestAnswerIsCopied: a link may use its buffer again.
func TestAnswerIsCopied(t *testing.T) {
	buffer := linktest.Unhex(t, "5312 3410 8CA01F9E5A9E8D1B9C0D51E3A5B2C7D8 9000")
	c := &Card{link: linkFunc(func([]byte) ([]byte, error) { return buffer, nil })}
	b, err := c.data(t.Context(), 0x02)
	if err != nil {
		t.Fatal(err)
	}
	clear(buffer)
	if b[0] != 0x53 {
		t.Error("the answer is the link's own buffer")
	}
}
