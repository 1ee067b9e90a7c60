package piv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"presence/drivers/cardtest/linktest"
)

// FuzzTLV cuts anything into data objects. Written down again in their shortest form they
// are the same ones, and no longer than they were.
func FuzzTLV(f *testing.F) {
	f.Add([]byte("\x53\x82\x00\x03\x70\x01\xaa"))
	f.Add([]byte("\x5f\x50\x81\x01\x55\x1f\x81\x01\x00"))
	f.Add([]byte("\x53\x80\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := objects(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || all != nil {
				t.Fatalf("%v beside %v", all, err)
			}
			return
		}
		var again []byte
		for _, o := range all {
			again = append(again, bytes.TrimLeft(binary.BigEndian.AppendUint32(nil, o.tag), "\x00")...)
			switch n := len(o.value); {
			case n >= 0x100:
				again = append(again, 0x82, byte(n>>8), byte(n))
			case n >= 0x80:
				again = append(again, 0x81, byte(n))
			default:
				again = append(again, byte(n))
			}
			again = append(again, o.value...)
		}
		same, err := objects(again)
		if err != nil || len(again) > len(b) || !slices.EqualFunc(all, same, func(x, y object) bool {
			return x.tag == y.tag && bytes.Equal(x.value, y.value)
		}) {
			t.Fatalf("% X is %v; % X is %v, %v", b, all, again, same, err)
		}
	})
}

// FuzzCHUID lets a card have anything for a CHUID. A GUID that is read stands in it.
func FuzzCHUID(f *testing.F) {
	f.Add([]byte("\x53\x12\x34\x100123456789abcdef"))
	f.Add([]byte("\x53\x1c\x34\x100123456789abcdef\x35\x0820301231\x3e\x00\xfe\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		guid, err := parseCHUID(b)
		if err == nil && (!bytes.Contains(b, guid[:]) || guid == uuid.Nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("GUID %v, %v", guid, err)
		}
	})
}

// FuzzTemplate lets a card answer its selection with anything.
func FuzzTemplate(f *testing.F) {
	f.Add([]byte("\x61\x11\x4f\x06\x00\x00\x10\x00\x01\x00\xac\x07\x80\x01\x11\x80\x01\x14\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		algorithms, err := parseTemplate(b)
		if err != nil && (!errors.Is(err, ErrMalformed) || algorithms != nil) {
			t.Fatalf("%v beside %v", algorithms, err)
		}
	})
}

// FuzzCertificateObject lets a card have anything for its certificate. None is a badge's,
// since no authority of ours has signed what a fuzzer makes.
func FuzzCertificateObject(f *testing.F) {
	ca := newAuthority(f, "badge CA", nil)
	ours := trusted(f, ca)
	foreign := newAuthority(f, "other CA", nil).sign(f, key(f, elliptic.P256()).Public(), nil)
	value := append([]byte{0x70, 0x82, byte(len(foreign) >> 8), byte(len(foreign))}, foreign...)
	value = append(value, 0x71, 0x01, 0x00, 0xFE, 0x00)
	f.Add(append([]byte{0x53, 0x82, byte(len(value) >> 8), byte(len(value))}, value...))
	f.Fuzz(func(t *testing.T, b []byte) {
		der, err := parseCertificateObject(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrBadCertificate) {
				t.Fatal(err)
			}
			return
		}
		if _, err := ours.Verify(der, tap, tap.Add(time.Second)); !errors.Is(err, ErrBadCertificate) && !errors.Is(err, ErrForeignCA) {
			t.Fatalf("certificate % X: %v", der, err)
		}
		if c, err := ParseCertificate(der); err == nil && (c.GUID == uuid.Nil || c.Algorithm.Hash() == 0) {
			t.Fatalf("GUID %v, %v", c.GUID, c.Algorithm)
		}
	})
}

// FuzzSignature takes anything for a signature over a challenge that nobody has signed. What
// checkSignature takes is the one way to write its numbers down.
func FuzzSignature(f *testing.F) {
	f.Add(linktest.Unhex(f, "3046022100"+vectorR+"022100"+vectorS))
	f.Add(linktest.Unhex(f, "3006020101020101"))
	public := vectorKey(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := verify(public, make([]byte, 32), b); !errors.Is(err, ErrSignature) {
			t.Fatal(err)
		}
		if checkSignature(b, public.Params().N) == nil && len(b) > 72 {
			t.Fatalf("%d bytes", len(b))
		}
		// The standard library is at least as strict.
		if ecdsa.VerifyASN1(public, make([]byte, 32), b) {
			t.Fatal("verified")
		}
	})
}

// FuzzExchanges lets a card answer a whole authentication with anything: a length, then so
// many bytes. It proves nothing, and is not asked without end.
func FuzzExchanges(f *testing.F) {
	f.Add(append(append([]byte{26}, linktest.Unhex(f, template)...), "\x16\x53\x12\x34\x100123456789abcdef\x90\x00\x02\x61\x05"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		asked := 0
		link := linkFunc(func([]byte) ([]byte, error) {
			asked++
			if len(b) == 0 {
				return nil, nil
			}
			n := min(int(b[0]), len(b)-1)
			answer := b[1 : 1+n]
			b = b[1+n:]
			return answer, nil
		})
		c, err := Select(t.Context(), link)
		if err != nil {
			return
		}
		_, _ = c.GUID(t.Context())
		_, _ = c.Certificate(t.Context())
		for _, a := range []Algorithm{P256, P384} {
			hash := make([]byte, a.Hash().Size())
			signature, err := c.Sign(t.Context(), a, hash)
			if err == nil && verify(vectorKey(t), hash[:32], signature) == nil {
				t.Fatalf("signature % X", signature)
			}
		}
		if asked > maxExchanges {
			t.Fatalf("%d commands", asked)
		}
	})
}
