package proof

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
)

// babble is a card whose answers are the bytes of a fuzzer: each is as long as the two bytes
// before it say.
type babble struct{ left []byte }

func (*babble) Reset() {}

func (b *babble) Command([]byte) ([]byte, time.Duration) {
	if len(b.left) < 2 {
		return []byte{0x6D, 0x00}, 0
	}
	n := min(int(binary.BigEndian.Uint16(b.left)), len(b.left)-2)
	answer := b.left[2 : 2+n]
	b.left = b.left[2+n:]
	return append(answer[:n:n], 0x90, 0x00), 0
}

// FuzzProve: whatever a card answers, it proves nothing, and nothing of it is a panic.
func FuzzProve(f *testing.F) {
	b := applets.Badge{Kind: applets.KindPIV, UID: uidOf(f, staffUID), Now: now()}
	program, err := b.Program()
	if err != nil {
		f.Fatal(err)
	}
	a := &air{card: card.Card{UID: b.UID, SAK: 0x20}, applet: program}
	newOffice(f).tap(a)
	var heard []byte
	for _, e := range program.Last() { // a genuine session, whose signature is over another challenge
		answer := e.Answer[:len(e.Answer)-2]
		heard = append(binary.BigEndian.AppendUint16(heard, uint16(len(answer))), answer...)
	}
	f.Add(heard, false)
	f.Add([]byte{0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 32, 1, 2, 3}, true)
	o := newOffice(f)
	keyed := newOffice(f)
	keyed.give(applets.Badge{Kind: applets.KindEV2, UID: b.UID})
	f.Fuzz(func(t *testing.T, answers []byte, symmetric bool) {
		office := o
		if symmetric {
			office = keyed
		}
		shown := &air{card: a.card, applet: &babble{left: answers}}
		id, err := office.Prove(t.Context(), shown, shown.card, office.seen)
		if err != nil && !errors.Is(err, card.ErrGone) && !errors.Is(err, card.ErrProtocol) && !errors.Is(err, card.ErrTooSlow) {
			t.Fatal(err)
		}
		if card.Assurance(id.Assurance).Authenticated() || id.Proof != nil {
			t.Fatalf("%+v", id)
		}
	})
}
