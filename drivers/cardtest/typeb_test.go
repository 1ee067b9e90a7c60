package cardtest_test

import (
	"bytes"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// TestCRCBVectors are the examples of ISO/IEC 14443-3, annex B.
func TestCRCBVectors(t *testing.T) {
	for data, want := range map[string]string{"000000": "CCC6", "0FAAFF": "FCD1", "0A123456": "2CF6"} {
		b := unhex(data)
		if got := cardtest.AppendCRCB(b)[len(b):]; !bytes.Equal(got, unhex(want)) {
			t.Errorf("%s: %X, want %s", data, got, want)
		}
	}
}

// sayB sends a frame of type B with its checksum, and returns the answer without
// it, nil for silence or for an answer that is spoilt.
func (r *reader) sayB(frame string) []byte {
	b := cardtest.AppendCRCB(unhex(frame))
	r.now = r.now.Add(10 * time.Millisecond)
	a := r.field.Exchange(r.now, cardtest.Frame{Bytes: b, Bits: 8 * len(b), TypeB: true})
	n := len(a.Bytes)
	if n < 3 || !bytes.Equal(cardtest.AppendCRCB(bytes.Clone(a.Bytes[:n-2])), a.Bytes) {
		return nil
	}
	return bytes.Clone(a.Bytes[:n-2])
}

func TestTypeBStates(t *testing.T) {
	c := cardtest.NewTypeB([4]byte{0x11, 0x22, 0x33, 0x44})
	r := newReader(c)
	atqb := unhex("50 11223344 00000000 008181")
	for i, step := range []struct {
		frame string
		want  []byte
		state cardtest.State
	}{
		{"50 11223344", nil, cardtest.Idle},
		{"05 00 00", atqb, cardtest.ReadyDeclared},
		{"50 11223345", nil, cardtest.ReadyDeclared}, // somebody else's
		{"50 11223344", []byte{0}, cardtest.Halt},
		{"05 00 00", nil, cardtest.Halt},           // REQB does not wake it
		{"05 00 08", atqb, cardtest.ReadyDeclared}, // WUPB does
		{"1D 11223344 00080100", []byte{0}, cardtest.Protocol},
		{"05 00 08", nil, cardtest.Protocol},
		{"C2", []byte{0xC2}, cardtest.Halt},
	} {
		if got := r.sayB(step.frame); !bytes.Equal(got, step.want) || c.State() != step.state {
			t.Errorf("step %d, %s: % X in %s, want % X in %s", i, step.frame, got, c.State(), step.want, step.state)
		}
	}
	if got := r.say("52/7"); got != "" {
		t.Errorf("it answers type A: %s", got)
	}
	if !c.TypeB() || c.UID().String() != "11223344" || c.Info() != (card.Card{UID: c.UID(), TypeB: true}) {
		t.Errorf("%+v", c.Info())
	}
	a := mustCard(t, "01020304", card.MifareClassic1K)
	if got := newReader(a).sayB("05 00 08"); got != nil || a.TypeB() {
		t.Errorf("a card of type A answers type B: % X", got)
	}
}

// TestTypeBAnticollision finds two cards by their slots, and neither where both
// answer in one.
func TestTypeBAnticollision(t *testing.T) {
	cards := []*cardtest.Card{cardtest.NewTypeB([4]byte{1, 2, 3, 4}), cardtest.NewTypeB([4]byte{1, 2, 3, 5})}
	r := newReader(cards...)
	if got := r.sayB("05 00 00"); got != nil {
		t.Errorf("two in one slot: % X", got)
	}
	found := map[string]bool{}
	for range 20 {
		answers := [][]byte{r.sayB("05 00 04")} // 16 slots
		for _, marker := range []string{"15", "25", "35", "45", "55", "65", "75", "85", "95", "A5", "B5", "C5", "D5", "E5", "F5"} {
			answers = append(answers, r.sayB(marker))
		}
		for _, a := range answers {
			if a != nil {
				found[string(a[1:5])] = true
			}
		}
	}
	if len(found) != 2 {
		t.Errorf("found %d of 2 cards", len(found))
	}
}

func TestTypeBFaultsAndFamilies(t *testing.T) {
	c := cardtest.NewTypeB([4]byte{1, 2, 3, 4})
	c.SetAFI(0x20)
	r := newReader(c)
	if got := r.sayB("05 30 00"); got != nil {
		t.Errorf("another family's request: % X", got)
	}
	if got := r.sayB("05 20 00"); got == nil || got[5] != 0x20 {
		t.Errorf("its own family's: % X", got)
	}
	c.SetFault(cardtest.BadCRC)
	if got := r.sayB("05 00 00"); got != nil {
		t.Errorf("a bad checksum: % X", got)
	}
	c.SetFault(cardtest.NoFault)
	c.MuteAt(cardtest.StepRequest)
	if got := r.sayB("05 00 00"); got != nil || c.State() != cardtest.ReadyDeclared {
		t.Errorf("mute: % X in %s", got, c.State())
	}
	random := cardtest.NewRandomTypeB(1)
	r = newReader(random)
	first := random.UID()
	r.field.SetRF(false, r.now)
	r.field.SetRF(true, r.now)
	if random.UID() == first {
		t.Error("the PUPI has stayed the same")
	}
}
