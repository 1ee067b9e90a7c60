package cardtest_test

import (
	"bytes"
	"math"
	"testing"

	"presence/drivers/cardtest"
)

// TestNoiseOnLongFrames: bits of a frame of 256 bytes are flipped at their rate wherever
// they are, and whole answers are lost at theirs.
func TestNoiseOnLongFrames(t *testing.T) {
	const rate, frames = 0.001, 2000
	d := cardtest.NewDisturber(cardtest.Noise{Seed: 1, Air: rate, Lost: 0.1})
	sent := bytes.Repeat([]byte{0xA5}, cardtest.MaxAnswer)
	flips, late, lost, odd := 0, 0, 0, 0
	for range frames {
		frame := bytes.Clone(sent)
		a := d.Heard(cardtest.Answer{Bytes: frame, Bits: 8 * len(frame), Collision: -1}, make([]byte, 6))
		if a.Bits == 0 {
			lost++
			continue
		}
		if a.BadParity {
			odd++
		}
		for i, b := range a.Bytes {
			for x := b ^ sent[i]; x != 0; x &= x - 1 {
				flips++
				if i >= len(sent)/2 {
					late++
				}
			}
		}
	}
	want := rate * 8 * cardtest.MaxAnswer * (frames - float64(lost))
	if math.Abs(float64(flips)-want) > want/10 || math.Abs(2*float64(late)-want) > want/10 {
		t.Errorf("%d bits were flipped, %d of them in the second half; want %.0f", flips, late, want)
	}
	if lost < frames/12 || lost > frames/8 {
		t.Errorf("%d of %d answers were lost", lost, frames)
	}
	if odd < frames*7/10 { // 9 bits a byte at 0.001: 90 % of the frames have a flip
		t.Errorf("%d frames with wrong parity", odd)
	}
}

// TestMixedAnswers: cards that answer at different times spoil each other's answer.
func TestMixedAnswers(t *testing.T) {
	slow := cardtest.DESFire()
	slow.Latency *= 3
	a, b := newSession(t, cardtest.DESFire()), newSession(t, slow)
	b.field.Remove(b.card)
	a.field.Put(b.card)
	a.field.SetRF(false, a.now)
	a.field.SetRF(true, a.now)
	for _, frame := range []string{"52/7", "93 70 C5CC358AB6+"} { // two cards with one UID
		if got := a.say(frame); got == "" {
			t.Fatal("silence")
		}
	}
	frame := cardtest.AppendCRC(unhex("E050"))
	got := a.send(frame, 8*len(frame))
	if !got.BadParity || got.Delay != cardtest.DESFire().Latency || got.Bits != 64 {
		t.Errorf("%+v", got)
	}
}

// TestInterrupted: a card that computes may be taken away before it answers.
func TestInterrupted(t *testing.T) {
	s := newSession(t, cardtest.DESFire())
	s.talk(t, [2]string{"E050", "067577810280"})
	if s.field.Interrupted() {
		t.Error("before anything happened")
	}
	other := newSession(t, cardtest.DESFire()).card
	s.field.Put(other)
	s.field.Remove(other)
	if s.field.Interrupted() {
		t.Error("by a card that had not answered")
	}
	s.field.Remove(s.card)
	if !s.field.Interrupted() {
		t.Error("not by the card that had")
	}
	s.field.Put(s.card)
	if !s.field.Interrupted() {
		t.Error("it came back, but its answer did not")
	}
	s.say("52/7")
	if s.field.Interrupted() {
		t.Error("at the next frame")
	}
}

// TestDisturbed: where a chip's noise took the ATS or S(DESELECT), a reader may do what it
// must not do else.
func TestDisturbed(t *testing.T) {
	for _, disturbed := range []bool{false, true} {
		s := newSession(t, cardtest.DESFire())
		s.talk(t, [2]string{"E050", "067577810280"})
		if disturbed {
			s.field.Disturbed()
		}
		s.talk(t, [2]string{"E050", ""})
		s.say("52/7")
		want := 2
		if disturbed {
			want = 0
		}
		if v := s.card.Violations(); len(v) != want {
			t.Errorf("disturbed %v: %q", disturbed, v)
		}
	}
	d := cardtest.NewDisturber(cardtest.Noise{Seed: 1, Lost: 1})
	if d.Hit() {
		t.Error("hit before anything was sent")
	}
	d.Heard(cardtest.Answer{Bytes: []byte{1}, Bits: 8, Collision: -1}, make([]byte, 6))
	if !d.Hit() || d.Hit() {
		t.Error("a lost answer is told of once")
	}
	d = cardtest.NewDisturber(cardtest.Noise{Seed: 1, Air: 1})
	if d.OnAir([]byte{0}, 8); !d.Hit() {
		t.Error("flipped bits are not told of")
	}
}
