package applets

import (
	"fmt"
	"sync"
	"time"

	"presence/drivers/cardtest"
)

// Replayer is a forged card that has listened to a session of a genuine one and a door,
// and answers each command with what the genuine card answered to it then.
type Replayer struct {
	Log

	mu      sync.Mutex
	answers map[string][]byte
	at      place
}

// place is where in a session a command stands: the command that began it, and how often
// that was continued since.
type place struct {
	root      string
	continued int
}

// next is the place of the next command. Which file, object or application is meant
// counts; challenges and MACs do not, as they are others each time.
func (p place) next(apdu []byte) place {
	c, ok := parseCommand(apdu)
	switch {
	case !ok:
		return place{root: "malformed"}
	case c.cla == 0x90 && c.ins == cmdMore, c.ins == 0xC0:
		return place{p.root, p.continued + 1}
	}
	root := fmt.Sprintf("%02X%02X", c.cla, c.ins)
	switch c.ins {
	case 0xA4, 0xCB, cmdSelectApplication:
		root += fmt.Sprintf("%X", c.data)
	}
	return place{root: root}
}

func (p place) key() string { return fmt.Sprint(p.root, "/", p.continued) }

// NewReplayer makes a card that knows these exchanges of one session, in their order.
func NewReplayer(heard []Exchange) *Replayer {
	r := &Replayer{answers: make(map[string][]byte)}
	var at place
	for _, e := range heard {
		at = at.next(e.Command)
		r.answers[at.key()] = e.Answer
	}
	return r
}

// Reset implements cardtest.Applet.
func (r *Replayer) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = place{}
}

// Command implements cardtest.Applet.
func (r *Replayer) Command(apdu []byte) (answer []byte, delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = r.at.next(apdu)
	answer, ok := r.answers[r.at.key()]
	if !ok {
		answer = reply(nil, swInstruction)
	}
	r.exchanged(apdu, answer)
	return append([]byte(nil), answer...), 3 * time.Millisecond
}

// Mute is a forged card that shows somebody's UID, says that it speaks ISO/IEC 14443-4,
// and knows no command: 6D00.
type Mute struct{ Log }

// Reset implements cardtest.Applet.
func (*Mute) Reset() {}

// Command implements cardtest.Applet.
func (m *Mute) Command(apdu []byte) ([]byte, time.Duration) {
	answer := reply(nil, swInstruction)
	m.exchanged(apdu, answer)
	return answer, time.Millisecond
}

// listener hears a session of a genuine card.
type listener struct {
	card  cardtest.Applet
	heard []Exchange
}

// ask sends a command and returns the answer without its status bytes.
func (l *listener) ask(apdu ...byte) []byte {
	answer, _ := l.card.Command(apdu)
	l.heard = append(l.heard, Exchange{apdu, answer})
	return answer[:len(answer)-2]
}

// askAll is ask, and fetches what is left.
func (l *listener) askAll(apdu ...byte) {
	for l.ask(apdu...); l.heard[len(l.heard)-1].Answer[len(l.heard[len(l.heard)-1].Answer)-2] == 0x61; {
		l.ask(0x00, 0xC0, 0x00, 0x00, 0x00)
	}
}

// hearPIV is what a door and a PIV card say to each other.
func hearPIV(genuine cardtest.Applet, algorithm byte, challenge []byte) []Exchange {
	l := &listener{card: genuine}
	for _, name := range []string{pivAID, pivAID + pivVersion} {
		l.ask(append(append([]byte{0x00, 0xA4, 0x04, 0x00, byte(len(name))}, name...), 0x00)...)
	}
	for object := byte(1); object <= 2; object++ {
		l.askAll(0x00, 0xCB, 0x3F, 0xFF, 0x05, 0x5C, 0x03, 0x5F, 0xC1, object, 0x00)
	}
	template := tlv(0x7C, tlv(0x82), tlv(0x81, challenge))
	l.ask(append(append([]byte{0x00, 0x87, algorithm, cardAuthentication, byte(len(template))}, template...), 0x00)...)
	genuine.Reset()
	return l.heard
}

// hearDESFire is what a door and a DESFire, or an NTAG 424 DNA, say to each other.
func hearDESFire(genuine cardtest.Applet, application [3]byte, key, rndA [16]byte) []Exchange {
	l := &listener{card: genuine}
	wrapped := func(ins byte, data ...byte) []byte {
		apdu := []byte{0x90, ins, 0x00, 0x00}
		if len(data) > 0 {
			apdu = append(append(apdu, byte(len(data))), data...)
		}
		return l.ask(append(apdu, 0x00)...)
	}
	for _, ins := range []byte{cmdVersion, cmdMore, cmdMore} {
		wrapped(ins)
	}
	l.ask(0x00, 0xA4, 0x04, 0x00, 0x07, 0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01, 0x00)
	wrapped(cmdSelectApplication, application[2], application[1], application[0])
	for _, read := range []byte{cmdRead, cmdReadOld} {
		wrapped(read, 0x01, 0, 0, 0, 0x10, 0, 0)
	}
	var rndB [16]byte
	copy(rndB[:], decrypt(key, [16]byte{}, wrapped(cmdFirst, KeyNumber, 0x00)))
	answer := rotated(rndB)
	last := decrypt(key, [16]byte{}, wrapped(cmdMore, encrypt(key, [16]byte{}, append(rndA[:], answer[:]...))...))
	s := &session{ti: [4]byte(last)}
	s.enc, s.mac = sessionKeys(key, rndA, rndB)
	mac := s.macOver(cmdUID)
	wrapped(cmdUID, mac[:]...)
	genuine.Reset()
	return l.heard
}
