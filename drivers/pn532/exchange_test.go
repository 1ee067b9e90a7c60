package pn532

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
)

// wire is a bus on which each transfer is written down.
type wire struct {
	transfers [][2]string // sent, answered
	at        int
	t         *testing.T
}

func (w *wire) String() string      { return "wire" }
func (w *wire) Duplex() conn.Duplex { return conn.Full }

func (w *wire) Tx(out, in []byte) error {
	if w.at == len(w.transfers) {
		w.t.Fatalf("a transfer too many: % X", out)
	}
	want := unhex(w.t, w.transfers[w.at][0])
	answer := unhex(w.t, w.transfers[w.at][1])
	w.at++
	if !bytes.Equal(out[:min(len(want), len(out))], want) || bytes.Trim(out[len(want):], "\x00") != nil && len(bytes.Trim(out[len(want):], "\x00")) > 0 {
		w.t.Fatalf("transfer %d: sent % X, want % X", w.at, out, want)
	}
	clear(in)
	copy(in, answer)
	return nil
}

func (w *wire) TxPackets([]spi.Packet) error { return errors.New("not written down") }

// TestWireImage is GetFirmwareVersion bit by bit as it goes over MOSI and MISO, most
// significant bit first as a Pi sends it.
func TestWireImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{t: t, transfers: [][2]string{
			{"80 0000FF407F2B405400", ""},
			{"40 00", "FF 00"},
			{"40 00", "FF 80"},
			{"C0", "FF 0000FF00FF00"},
			{"40 00", "FF 80"},
			{"C0", "FF 0000FF605FABC04C8060E01700"},
		}}
		l := link{conn: w, speed: physic.MegaHertz}
		data, err := l.exchange(t.Context(), request{code: cmdGetFirmwareVersion, want: 4, wait: quickWait})
		if err != nil || fmt.Sprintf("%X", data) != "32010607" || w.at != len(w.transfers) {
			t.Errorf("% X, %v after %d transfers", data, err, w.at)
		}
	})
}

// onLink runs a test with a link over a script that answers all commands alike.
func onLink(t *testing.T, after time.Duration, test func(t *testing.T, s *script, l *link)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func(code byte, params []byte) ([]byte, time.Duration, bool) {
			return []byte{0x01, 0x02}, after, true
		})
		l := &link{conn: s, speed: physic.MegaHertz}
		s.speed = physic.MegaHertz
		test(t, s, l)
	})
}

var ask = request{code: 0x40, want: 2, wait: 100 * time.Millisecond}

// TestFaultsThatAreMended: a command is carried out although something goes wrong
// once, and the next one too.
func TestFaultsThatAreMended(t *testing.T) {
	nth := func(n int, change func([]byte) []byte) func(*script) {
		return func(s *script) {
			frames := 0
			s.frameOut = func(b []byte) []byte {
				if frames++; frames == n {
					return change(b)
				}
				return b
			}
		}
	}
	drop := func([]byte) []byte { return nil }
	dcs := func(b []byte) []byte { b[len(b)-2] ^= 0x10; return b }
	lcs := func(b []byte) []byte { b[4] ^= 0x10; return b }
	start := func(b []byte) []byte { b[2] = 0xFE; return b }
	for _, tt := range []struct {
		name     string
		break_   func(s *script)
		commands int // that the chip takes, the second exchange's among them
		nacks    int
		noise    int64
	}{
		{"nothing", func(*script) {}, 2, 0, 0},
		{"ACK lost", nth(1, drop), 2, 1, 1},
		{"ACK damaged", nth(1, start), 2, 0, 0},
		{"ACK's length damaged", nth(1, lcs), 2, 0, 0},
		{"ACK twice", nth(1, func(b []byte) []byte { return append(b, b...) }), 2, 0, 0},
		{"reply damaged", nth(2, dcs), 2, 1, 1},
		{"reply's length damaged", nth(2, lcs), 2, 1, 1},
		{"reply's start damaged", nth(2, start), 2, 1, 1},
		{"reply cut", nth(2, func(b []byte) []byte { return b[:8] }), 2, 1, 1},
		{"leading zero missing", nth(2, func(b []byte) []byte { return b[1:] }), 2, 0, 0},
		{"leading zero missing in the ACK", nth(1, func(b []byte) []byte { return b[1:] }), 2, 0, 0},
		{"asleep", func(s *script) { s.asleep = true }, 2, 0, 1},
		{"command damaged", func(s *script) {
			s.tamper = func(n int, mosi, _ []byte) {
				if n == 1 && mosi != nil {
					mosi[6] ^= 1
				}
			}
		}, 2, 0, 1},
		{"a reply is waiting from before", func(s *script) { s.push(replyFrame(0x4B, 0x00), 0) }, 2, 0, 0},
		{"a reply from before in place of the ACK", func(s *script) {
			s.frameOut = nil
			inner := s.answer
			first := true
			s.answer = func(code byte, p []byte) ([]byte, time.Duration, bool) {
				if first {
					first = false
					s.pending = append([]out{{replyFrame(0x4B, 0x00), time.Now()}}, s.pending...)
				}
				return inner(code, p)
			}
		}, 2, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onLink(t, 5*time.Millisecond, func(t *testing.T, s *script, l *link) {
				tt.break_(s)
				for range 2 {
					data, err := l.exchange(t.Context(), ask)
					if err != nil || !bytes.Equal(data, []byte{1, 2}) {
						t.Fatalf("% X, %v", data, err)
					}
				}
				if len(s.commands) != tt.commands || s.nacks != tt.nacks || l.noise != tt.noise {
					t.Errorf("%d commands, %d asked for again, noise %d", len(s.commands), s.nacks, l.noise)
				}
			})
		})
	}
}

// TestFaultsThatStay: a command is given up in time, and once the fault is gone the
// next one is carried out.
func TestFaultsThatStay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		break_ func(s *script)
		err    error
		within time.Duration
	}{
		{"no chip, MISO high", func(s *script) { s.deaf = true }, errSilent, 150 * time.Millisecond},
		{"no chip, MISO low", func(s *script) { s.deaf, s.idle = true, 0x00 }, errSilent, 150 * time.Millisecond},
		{"no ACK", func(s *script) { s.frameOut = func([]byte) []byte { return nil } }, errSilent, 150 * time.Millisecond},
		{"never done", func(s *script) {
			s.answer = func(byte, []byte) ([]byte, time.Duration, bool) { return nil, never, true }
		}, errStuck, 150 * time.Millisecond},
		{"every frame damaged", func(s *script) {
			s.frameOut = func(b []byte) []byte { b[len(b)-1] ^= 0x40; return b }
		}, errFrame, 300 * time.Millisecond},
		{"refused", func(s *script) {
			s.answer = func(byte, []byte) ([]byte, time.Duration, bool) { return nil, time.Millisecond, false }
		}, errRefused, 20 * time.Millisecond},
		{"refused, ACK lost", func(s *script) {
			s.answer = func(byte, []byte) ([]byte, time.Duration, bool) { return nil, time.Millisecond, false }
			s.frameOut = func(b []byte) []byte {
				if bytes.Equal(b, ackFrame()) {
					return nil
				}
				return b
			}
		}, errRefused, 20 * time.Millisecond},
		{"only replies to other commands", func(s *script) {
			s.frameOut = func(b []byte) []byte {
				if len(b) > 8 {
					return replyFrame(0x4B, 1, 2)
				}
				return b
			}
		}, errStuck, 300 * time.Millisecond},
		{"the bus fails", func(s *script) { s.fail = errors.New("EIO") }, card.ErrBusDead, 20 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onLink(t, 5*time.Millisecond, func(t *testing.T, s *script, l *link) {
				sound, frames, answer := s.idle, s.frameOut, s.answer
				tt.break_(s)
				start := time.Now()
				data, err := l.exchange(t.Context(), ask)
				if !errors.Is(err, tt.err) || data != nil {
					t.Errorf("% X, %v, want %v", data, err, tt.err)
				}
				if took := time.Since(start); took > tt.within {
					t.Errorf("it took %v, want at most %v", took, tt.within)
				}
				s.idle, s.frameOut, s.answer, s.deaf, s.fail = sound, frames, answer, false, nil
				if data, err := l.exchange(t.Context(), ask); err != nil || !bytes.Equal(data, []byte{1, 2}) {
					t.Errorf("afterwards: % X, %v", data, err)
				}
			})
		})
	}
}

// What a command does that was given up is aborted, and its late reply is not taken
// for that of the next one.
func TestLateReplyIsThrownAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := byte(0)
		s := newScript(t, func(code byte, params []byte) ([]byte, time.Duration, bool) {
			n++
			if n == 1 {
				return []byte{n, n}, 150 * time.Millisecond, true
			}
			return []byte{n, n}, time.Millisecond, true
		})
		l := &link{conn: s, speed: physic.MegaHertz}
		if _, err := l.exchange(t.Context(), ask); !errors.Is(err, errStuck) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		data, err := l.exchange(t.Context(), ask)
		if err != nil || !bytes.Equal(data, []byte{2, 2}) || s.acks != 1 {
			t.Errorf("% X, %v after %d aborts", data, err, s.acks)
		}
	})
}

// A cancelled context ends each wait at once.
func TestCancelledWhileTheChipIsBusy(t *testing.T) {
	onLink(t, 90*time.Millisecond, func(t *testing.T, s *script, l *link) {
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := l.exchange(ctx, ask); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if data, err := l.exchange(t.Context(), ask); err != nil || len(data) != 2 || s.acks != 1 {
			t.Errorf("afterwards: % X, %v, %d aborts", data, err, s.acks)
		}
		if _, err := l.exchange(ctx, ask); !errors.Is(err, context.DeadlineExceeded) || len(s.commands) != 2 {
			t.Errorf("with a context that is over: %v, commands %v", err, s.commands)
		}
	})
}

// The longest reply there is comes whole.
func TestExtendedReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := bytes.Repeat([]byte{0xA5, 0x00}, 131)
		s := newScript(t, func(byte, []byte) ([]byte, time.Duration, bool) { return want, time.Millisecond, true })
		l := &link{conn: s, speed: physic.MegaHertz}
		data, err := l.exchange(t.Context(), request{code: 0x40, want: maxData, wait: quickWait})
		if err != nil || !bytes.Equal(data, want) {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	})
}

// A line that is stuck high has the bit for "ready" set in its status, too. Boards show
// other bits beside it at times.
func TestStuckLineIsNotReady(t *testing.T) {
	for idle, want := range map[byte]bool{0xFF: false, 0x00: false, 0xAA: false, 0x08: false, 0x01: true, 0x09: true} {
		onLink(t, time.Millisecond, func(t *testing.T, s *script, l *link) {
			s.deaf, s.idle = true, idle
			if ready, err := l.ready(); ready != want || err != nil {
				t.Errorf("%02X: ready %v, %v", idle, ready, err)
			}
		})
	}
}

// The chip wakes while chip select is low for 2 ms at any clock.
func TestRouseTakesItsTime(t *testing.T) {
	for speed, want := range map[physic.Frequency]int{
		physic.MegaHertz: 250, 5 * physic.MegaHertz: 1250, 100 * physic.KiloHertz: 25, physic.KiloHertz: 2,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, nil)
			got := 0
			s.tamper = func(_ int, mosi, _ []byte) {
				if mosi != nil {
					got = len(mosi)
					if slices.Max(mosi) != 0 {
						t.Errorf("sent %s", hex.EncodeToString(mosi))
					}
				}
			}
			l := &link{conn: s, speed: speed}
			if err := l.rouse(); err != nil || got != want {
				t.Errorf("%v: %d bytes, %v, want %d", speed, got, err, want)
			}
		})
	}
}
