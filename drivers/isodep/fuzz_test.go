package isodep_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

// FuzzATS has anything parsed. What is accepted is within the standard's bounds.
func FuzzATS(f *testing.F) {
	for _, ats := range []string{ntag424, desfire, "01", "0205", "03 25 EE", "04 70 80 02", "FF"} {
		f.Add(unhex(f, ats))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := isodep.ParseATS(b)
		if err != nil {
			if !errors.Is(err, card.ErrProtocol) {
				t.Error(err)
			}
			return
		}
		if int(b[0]) != len(b) || a.FSC < 16 || a.FSC > 256 || a.FWI < 0 || a.FWI > 14 ||
			a.FWT < periods(4096+49152) || a.FWT > periods(4096<<14+49152) || a.SFGT < 0 || a.SFGT > periods((4096+384)<<14) ||
			!bytes.HasSuffix(b, a.Historical) {
			t.Errorf("% X: %+v", b, a)
		}
	})
}

// hostile is a card that answers with whatever its source says, often with what looks
// right.
type hostile struct {
	t      *testing.T
	source func() byte
	start  time.Time

	last     []byte // frame from the reader
	ats      isodep.ATS
	began    bool
	ready    time.Time
	asked    byte   // multiplier of the extension that was asked for last, 0 none
	received []byte // information that reached the reader since its last command
}

const hostileChip = 64

func (h *hostile) MaxFrame() int { return hostileChip }

func (h *hostile) Transceive(_ context.Context, frame []byte, wait time.Duration) ([]byte, error) {
	h.judge(frame, wait)
	h.last = bytes.Clone(frame)
	number := frame[0] & 1
	var answer []byte
	switch op := h.source(); op % 16 {
	case 0:
		time.Sleep(wait)
		return nil, card.ErrNoAnswer
	case 1:
		return nil, card.ErrBadFrame
	case 2, 3:
		answer = append([]byte{0x02 | number}, h.some(int(h.source()%62))...)
	case 4, 5:
		answer = append([]byte{0x12 | number}, h.some(int(h.source()%62))...)
	case 6:
		answer = []byte{0xA2 | number}
	case 7:
		answer = []byte{0xA2 | number ^ 1}
	case 8, 9:
		answer = []byte{0xF2, h.source()}
	case 10:
		answer = h.some(int(h.source() % 80))
	case 11:
		answer = []byte{0xC2}
	case 12:
		time.Sleep(wait * time.Duration(h.source()) / 255)
		answer = append([]byte{0x02 | number}, h.some(2)...)
	case 13:
		answer = append([]byte{0x12 | number ^ 1}, h.some(3)...)
	default:
		time.Sleep(time.Duration(h.source()) * time.Millisecond / 100)
		answer = append([]byte{0x02 | number ^ op>>7}, h.some(2)...)
	}
	if frame[0] == 0xE0 {
		if answer = unhex(h.t, ntag424); h.source() < 64 {
			answer = h.some(int(h.source() % 80))
		}
		h.ats, _ = isodep.ParseATS(answer)
		h.began, h.ready = true, time.Now().Add(h.ats.SFGT)
	}
	h.asked = 0
	if len(answer) == 2 && answer[0] == 0xF2 {
		h.asked = answer[1] & 0x3F
	}
	if len(answer) > 0 && answer[0]&0xEE == 0x02 {
		h.received = append(h.received, answer[1:]...)
	}
	return answer, nil
}

func (h *hostile) some(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = h.source()
	}
	return b
}

// judge finds fault with frames that a reader must not send.
func (h *hostile) judge(frame []byte, wait time.Duration) {
	switch {
	case wait <= 0:
		h.t.Errorf("waits for %v", wait)
	case len(frame)+2 > hostileChip || h.began && h.ats.FSC > 0 && len(frame)+2 > h.ats.FSC:
		h.t.Errorf("a frame of %d bytes to a card that takes %d", len(frame)+2, h.ats.FSC)
	case frame[0] != 0xC2 && (frame[0] == 0xE0) == h.began:
		h.t.Errorf("%X after the ATS: %t", frame, h.began)
	case frame[0] != 0xC2 && time.Now().Before(h.ready):
		h.t.Errorf("%X before the card is ready", frame)
	case frame[0] == 0xF2 && (len(frame) != 2 || frame[1] != h.asked || h.asked == 0 || h.asked > 59):
		h.t.Errorf("%X to an extension of %d", frame, h.asked)
	}
	switch frame[0] {
	case 0xE0, 0xC2, 0xF2, 0xA2, 0xA3, 0xB2, 0xB3, 0x02, 0x03, 0x12, 0x13:
	default:
		h.t.Errorf("sent %X", frame)
	}
}

// link runs a link with the card to its end. Whatever it answers, nothing panics, all is
// over in time, and a response is made of what came after its command and of nothing else.
func (h *hostile) link(budget time.Duration) {
	h.start = time.Now()
	err := isodep.Run(h.t.Context(), h, isodep.Options{Budget: budget, MaxResponse: 300}, func(l *isodep.Link) error {
		for n := byte(0); ; n++ {
			if h.source()%4 == 0 {
				if err := l.Present(h.t.Context()); err != nil {
					return err
				}
			}
			h.received = nil
			response, err := l.Exchange(h.t.Context(), bytes.Repeat([]byte{n}, 1+int(h.source())))
			if err != nil {
				return err
			}
			if !bytes.Equal(response, h.received) || len(response) < 2 || len(response) > 300 {
				h.t.Errorf("response %X, where %X came", response, h.received)
			}
		}
	})
	if !errors.Is(err, card.ErrGone) && !errors.Is(err, card.ErrProtocol) && !errors.Is(err, card.ErrTooSlow) {
		h.t.Errorf("ended with %v", err)
	}
	if took := time.Since(h.start); took > budget {
		h.t.Errorf("took %v, which is more than %v", took, budget)
	}
}

// FuzzHostileCard lets a card answer with anything.
func FuzzHostileCard(f *testing.F) {
	f.Add([]byte{2, 200, 9, 2, 2, 0x90, 0})
	f.Add([]byte{2, 200, 9, 4, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 8, 1, 8, 5, 2, 0, 1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			h := &hostile{t: t, source: func() (v byte) {
				if len(b) > 0 {
					v, b = b[0], b[1:]
				}
				return v
			}}
			h.link(1800 * time.Millisecond)
		})
	})
}

// TestHostileCards is the same with many random cards.
func TestHostileCards(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		synctest.Test(t, func(t *testing.T) {
			h := &hostile{t: t, source: func() byte { return byte(random.Uint32()) }}
			h.link(time.Duration(50+random.IntN(1750)) * time.Millisecond)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
