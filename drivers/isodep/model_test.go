package isodep_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

// honest is a card that keeps the standard's rules for cards (7.5.4 and 7.5.5), on an air
// that does not. It knows what it has carried out, and how often.
type honest struct {
	lose   func() fault
	extend func() byte // the multiplier of an extension to ask for; 0 is none
	chunk  int         // of information in a block of the card

	number   byte
	last     []byte // block, which may be asked for again
	command  []byte // so far
	response []byte // what is left to send
	pending  func() []byte
	done     [][]byte // commands that were carried out
	gone     bool
}

// fault is what the air does to a frame and its answer.
type fault int

const (
	none fault = iota
	frameLost
	frameSpoilt
	answerLost
	answerSpoilt
)

func (h *honest) MaxFrame() int { return 64 }

func (h *honest) Transceive(_ context.Context, frame []byte, wait time.Duration) ([]byte, error) {
	f := none
	if frame[0] != 0xE0 {
		f = h.lose()
	}
	var answer []byte
	if f != frameLost && f != frameSpoilt && !h.gone {
		answer = h.answer(frame)
	}
	if answer == nil || f == answerLost {
		time.Sleep(wait)
		return nil, card.ErrNoAnswer
	}
	time.Sleep(wait / 4)
	if f == answerSpoilt {
		return nil, card.ErrBadFrame
	}
	return bytes.Clone(answer), nil
}

// answer is what the card says to a frame that reached it.
func (h *honest) answer(frame []byte) []byte {
	pcb := frame[0]
	switch {
	case pcb == 0xE0:
		h.number = 1
		return []byte{0x02, 0x00} // FSC 16, FWI 4
	case pcb == 0xC2:
		h.gone = true
		return []byte{0xC2}
	case pcb == 0xF2:
		if h.pending == nil {
			return nil
		}
		return h.say(h.pending)
	case pcb&0xE2 == 0x02: // rules 10 and D: an I-block, with whatever number
		h.number ^= 1
		h.command = append(h.command, frame[1:]...)
		if pcb&0x10 != 0 {
			return h.say(func() []byte { return []byte{0xA2 | h.number} })
		}
		h.done = append(h.done, h.command)
		h.response, h.command = responseTo(h.command), nil
		return h.say(h.next)
	case pcb&1 == h.number: // rule 11
		return h.last
	case pcb&0x10 != 0: // rule 12
		return h.say(func() []byte { return []byte{0xA2 | h.number} })
	}
	h.number ^= 1 // rules 13 and E
	return h.say(h.next)
}

// say has the card send a block, or ask for more time before.
func (h *honest) say(block func() []byte) []byte {
	if m := h.extend(); m > 0 {
		h.pending = block
		h.last = []byte{0xF2, m}
		return h.last
	}
	h.pending = nil
	h.last = block()
	return h.last
}

// next is the next block of the response.
func (h *honest) next() []byte {
	n := min(h.chunk, len(h.response))
	block := append([]byte{0x02 | h.number}, h.response[:n]...)
	if h.response = h.response[n:]; len(h.response) > 0 {
		block[0] |= 0x10
	}
	return block
}

// responseTo is a response that no other command has.
func responseTo(command []byte) []byte {
	sum := sha256.Sum256(command)
	return append(bytes.Repeat(sum[:], 1+int(sum[0])%5), 0x90, 0x00)
}

// seldom yields numbers of which most are the first one; how many of them is drawn too.
func seldom(rt *rapid.T, what string, first, last int) func() int {
	rest := rapid.SliceOfN(rapid.IntRange(first, last), 0, 100).Draw(rt, what)
	every := rapid.IntRange(1, 8).Draw(rt, "one of so many of "+what)
	n := 0
	return func() int {
		if n++; n%every != 0 || len(rest) == 0 {
			return first
		}
		v := rest[0]
		rest = rest[1:]
		return v
	}
}

// Whatever the air does to frames, each response is that of its command, and each command
// is carried out once; or the link says that the card is gone, and then at most once.
func TestEachCommandIsCarriedOutOnce(t *testing.T) {
	var completed, lost int
	rapid.Check(t, func(rt *rapid.T) {
		commands := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 60), 1, 8).Draw(rt, "commands")
		for i := range commands {
			commands[i] = append(commands[i], byte(i)) // no two are alike
		}
		c := &honest{chunk: rapid.IntRange(1, 61).Draw(rt, "chunk")}
		// Drawn beforehand, for a link runs in a goroutine of its own.
		faults := seldom(rt, "faults", int(none), int(answerSpoilt))
		c.lose = func() fault { return fault(faults()) }
		extensions := seldom(rt, "extensions", 0, 3)
		c.extend = func() byte { return byte(extensions()) }
		presence := seldom(rt, "presence", 0, 1)
		started := 0
		var err error
		synctest.Test(t, func(t *testing.T) {
			err = isodep.Run(t.Context(), c, isodep.Options{}, func(l *isodep.Link) error {
				for _, command := range commands {
					if presence() != 0 {
						if err := l.Present(t.Context()); err != nil {
							return err
						}
					}
					started++
					response, err := l.Exchange(t.Context(), command)
					if err != nil {
						return err
					}
					if !bytes.Equal(response, responseTo(command)) {
						return fmt.Errorf("the response to %X is %X", command, response)
					}
				}
				return nil
			})
		})
		if err != nil && !errors.Is(err, card.ErrGone) && !errors.Is(err, card.ErrTooSlow) {
			rt.Fatalf("the link ended with %v", err)
		}
		if len(c.done) > started || err == nil && len(c.done) != len(commands) || len(c.done) < started-1 {
			rt.Fatalf("%d commands were sent and %d carried out; %v", started, len(c.done), err)
		}
		for i, command := range c.done {
			if !bytes.Equal(command, commands[i]) {
				rt.Fatalf("%X was carried out, where %X was sent", command, commands[i])
			}
		}
		if err == nil {
			completed++
		} else {
			lost++
		}
	})
	t.Logf("%d links were completed, %d lost", completed, lost)
	if completed == 0 {
		t.Error("no link was completed")
	}
}
