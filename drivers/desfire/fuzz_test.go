package desfire

import (
	"bytes"
	"testing"

	"presence/drivers/card"
	"presence/drivers/cardtest/linktest"
)

// hostile is a card that answers with what the fuzzer gives it: a length, then so many
// bytes; a length of 255 is the end of the link.
func hostile(b []byte) linkFunc {
	return func([]byte) []byte {
		if len(b) == 0 {
			return nil
		}
		n := min(int(b[0]), len(b)-1)
		answer := b[1 : 1+n]
		b = b[1+n:]
		return answer
	}
}

// FuzzVersion lets a card answer GetVersion with anything.
func FuzzVersion(f *testing.F) {
	f.Add([]byte("\x09\x04\x04\x08\x30\x00\x11\x05\x91\xaf\x09\x04\x01\x01\x01\x00\x16\x05\x91\xaf\x10\x04\xde\x5f\x1e\xac\xc0\x40\xa1\xa2\xa3\xa4\xa5\x42\x25\x91\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		asked := 0
		answer := hostile(b)
		v, err := GetVersion(t.Context(), linkFunc(func(c []byte) []byte { asked++; return answer(c) }))
		if asked > 3 {
			t.Fatalf("%d commands", asked)
		}
		if err != nil && v != (Version{}) {
			t.Fatalf("%+v beside %v", v, err)
		}
		_ = v.Family()
	})
}

// FuzzReplies lets a card that does not know the key answer an authentication, GetCardUID
// and the reading of a file with anything. It never proves anything, and is never asked
// more than there is to ask.
func FuzzReplies(f *testing.F) {
	f.Add([]byte("\x12ABCDEFGHIJKLMNOP\x91\xaf\x22ABCDEFGHIJKLMNOPABCDEFGHIJKLMNOP\x91\x00"))
	f.Add([]byte("\x13\x01ABCDEFGHIJKLMNOP\x91\xaf"))
	f.Add([]byte("\x12ABCDEFGHIJKLMNOP\x91\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		asked := 0
		answer := hostile(b)
		link := linkFunc(func(c []byte) []byte { asked++; return answer(c) })
		// The fuzzer knows neither the key nor the challenge from here.
		key := Key(linktest.Unhex(t, transcriptKey))
		s, err := Authenticate(t.Context(), link, 0, key, bytes.NewReader(linktest.Unhex(t, transcriptRndA)))
		if err == nil || s != nil || asked > 2 {
			t.Fatalf("session %v, %v after %d commands", s, err, asked)
		}
		s = &Session{link: link, encrypt: Key{1}, mac: Key{2}}
		if uid, err := s.UID(t.Context()); err == nil || uid != (card.UID{}) {
			t.Fatalf("UID %v, %v", uid, err)
		}
		data, err := ReadData(t.Context(), link, 1, 0, 256)
		if err == nil && len(data) != 256 {
			t.Fatalf("%d bytes", len(data))
		}
		if asked > 3+256 {
			t.Fatalf("%d commands", asked)
		}
	})
}
