package pn532

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzAnswers lets the chip answer what the cards' commands ask with anything: each
// reply is a length and so many bytes; a length of 255 is no reply at all, 254 an
// error frame. A look always ends, and nothing is reported that did not come in a
// reply twice.
func FuzzAnswers(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			rest := b
			var sent [][]byte
			s := newScript(t, sound(func(byte, []byte) ([]byte, time.Duration, bool) {
				if len(rest) == 0 {
					return []byte{0x00}, time.Millisecond, true
				}
				n := int(rest[0])
				rest = rest[1:]
				switch n {
				case 0xFF:
					return nil, never, true
				case 0xFE:
					return nil, time.Millisecond, false
				}
				data := rest[:min(n, len(rest))]
				rest = rest[len(data):]
				sent = append(sent, data)
				return data, time.Millisecond, true
			}))
			r := open(t, s)
			for range 4 {
				start := time.Now()
				seen, err := r.Poll(t.Context())
				if took := time.Since(start); took > 4*time.Second {
					t.Fatalf("a look took %v", took)
				}
				if err != nil && seen != nil {
					t.Fatalf("saw %v beside %v", seen, err)
				}
				for _, c := range seen {
					times := 0
					for _, data := range sent {
						if bytes.Contains(data, c.UID.Bytes()) {
							times++
						}
					}
					if times == 0 || c.TypeB && times < 2 {
						t.Fatalf("saw %+v, which came %d times", c, times)
					}
				}
			}
		})
	})
}
