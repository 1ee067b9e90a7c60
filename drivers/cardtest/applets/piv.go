package applets

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"sync"
	"time"
)

// Algorithms of PIV (SP 800-78-4, table 6-2), and one of PivApplet's own.
const (
	algorithmP256       = 0x11
	algorithmP384       = 0x14
	algorithmHashOnCard = 0xF1 // P-256 over a hash that the card makes itself
)

// cardAuthentication is the key that needs neither a PIN nor contacts (SP 800-73-4, part
// 1, table 4b).
const cardAuthentication = 0x9E

// maxChain is how much data a chain of commands may bring.
const maxChain = 4096

// pivAID is the application's name without its version; the version may be left out of a
// SELECT (SP 800-73-4, part 1, 2.2).
const (
	pivAID     = "\xA0\x00\x00\x03\x08\x00\x00\x10\x00"
	pivVersion = "\x01\x00"
)

// PIVOptions are what a PIV card is made of.
type PIVOptions struct {
	GUID [16]byte // in the CHUID
	// Key is the card authentication key, P-256 or P-384; nil: the card has none.
	Key *ecdsa.PrivateKey
	// Certificate is that of Key, DER, or of another key on a forged card; nil: none.
	Certificate []byte
	// Delay is how long a signature takes; 0 is 150 ms. Java cards need 50 to 300 ms.
	Delay time.Duration
	// Short says that the card takes no APDUs of extended length.
	Short bool
	Fault PIVFault // what the card does wrong
}

// PIV is a card with the PIV application (SP 800-73-4, part 2): SELECT, GET DATA with
// the CHUID and the card authentication certificate, GENERAL AUTHENTICATE with key 9E,
// GET RESPONSE, and command chaining.
type PIV struct {
	Log

	mu      sync.Mutex
	o       PIVOptions
	objects map[string][]byte // by tag
	stale   []byte            // the challenge before this one; kept without power

	selected bool
	chain    *command // of the commands of CLA 10 so far
	rest     []byte   // of an answer, for GET RESPONSE
}

// How long the card computes for anything but a signature.
const pivAnswers = 5 * time.Millisecond

// NewPIV makes a card that lies without power.
func NewPIV(o PIVOptions) *PIV {
	if o.Delay == 0 {
		o.Delay = 150 * time.Millisecond
	}
	p := &PIV{o: o, objects: make(map[string][]byte), stale: make([]byte, 32)}
	if o.Fault != NoCHUID {
		p.objects["\x5F\xC1\x02"] = p.chuid()
	}
	if o.Certificate != nil {
		p.objects["\x5F\xC1\x01"] = p.certificate()
	}
	return p
}

// Reset implements cardtest.Applet.
func (p *PIV) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.selected, p.chain, p.rest = false, nil, nil
}

// Command implements cardtest.Applet.
func (p *PIV) Command(apdu []byte) (answer []byte, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.exchanged(apdu, answer) }()
	c, ok := parseCommand(apdu)
	if !ok || c.extended && p.o.Short {
		p.chain, p.rest = nil, nil
		return reply(nil, swWrongLength), pivAnswers
	}
	if c.cla&^0x10 != 0 {
		p.chain, p.rest = nil, nil
		return reply(nil, swClass), pivAnswers
	}
	if sw := p.chained(&c); sw != 0 {
		return reply(nil, sw), pivAnswers
	}
	if c.ins == 0xC0 {
		return p.getResponse(c), pivAnswers
	}
	p.rest = nil // an answer that was not fetched is lost with the next command
	switch {
	case c.ins == 0xA4:
		data, sw := p.selectApplication(c)
		return p.answer(c, data, sw), pivAnswers
	case !p.selected:
		return reply(nil, swInstruction), pivAnswers
	case c.ins == 0xCB:
		data, sw := p.getData(c)
		return p.answer(c, data, sw), pivAnswers
	case c.ins == 0x87:
		data, sw := p.authenticate(c)
		if sw == swDone {
			delay = p.o.Delay
		} else {
			delay = pivAnswers
		}
		return p.answer(c, data, sw), delay
	}
	return reply(nil, swInstruction), pivAnswers
}

// chained collects the commands of a chain (ISO/IEC 7816-4, 5.3.3). It returns what to
// answer at once, or 0 where c is complete: a single command, or the whole chain.
func (p *PIV) chained(c *command) uint16 {
	begun := p.chain
	p.chain = nil
	same := begun != nil && begun.ins == c.ins && begun.p1 == c.p1 && begun.p2 == c.p2
	switch {
	case begun == nil && c.cla == 0x00:
		return 0
	case begun != nil && !same:
		return swLastOfChain
	case same && len(begun.data)+len(c.data) > maxChain:
		return swWrongLength
	case same:
		c.data = append(begun.data, c.data...)
	}
	if c.cla == 0x00 {
		return 0
	}
	c.data = bytes.Clone(c.data)
	p.rest, p.chain = nil, c
	return swDone
}

// answer sends as much as was asked for, and keeps the rest.
func (p *PIV) answer(c command, data []byte, sw uint16) []byte {
	if sw != swDone {
		return reply(nil, sw)
	}
	n := min(c.le, len(data))
	if p.o.Fault == EndlessChain && len(data) > 200 {
		n = min(n, 200) // a part of an object only, however much was asked for
	}
	data, p.rest = data[:n], data[n:]
	if len(p.rest) == 0 {
		return reply(data, swDone)
	}
	left := len(p.rest)
	if left >= 256 {
		left = 0
	}
	return reply(data, swMore|uint16(left))
}

func (p *PIV) getResponse(c command) []byte {
	rest := p.rest
	switch {
	case p.o.Fault == EndlessChain && len(rest) > 0:
		p.rest = bytes.Clone(rest)
		return reply(make([]byte, min(c.le, 256)), swMore)
	case len(rest) == 0:
		return reply(nil, swConditions)
	case c.p1 != 0 || c.p2 != 0:
		p.rest = nil
		return reply(nil, swWrongParameters)
	}
	return p.answer(c, rest, swDone)
}

// selectApplication answers with the application property template (SP 800-73-4, part 2,
// table 3), whose tag AC tells the algorithms.
func (p *PIV) selectApplication(c command) ([]byte, uint16) {
	if c.p1 != 0x04 || c.p2 != 0x00 {
		return nil, swWrongParameters
	}
	whole := pivAID + pivVersion
	if name := string(c.data); name != whole && name != pivAID {
		return nil, swNotFound // what was selected stays so
	}
	p.selected = true
	var algorithms []byte
	for _, a := range p.algorithms() {
		algorithms = append(algorithms, tlv(0x80, []byte{a})...)
	}
	return tlv(0x61,
		tlv(0x4F, []byte(whole[5:])), // the name without the registered provider
		tlv(0x79, tlv(0x4F, []byte(pivAID[:5]))),
		tlv(0x50, []byte("Simulated badge")),
		tlv(0xAC, algorithms, tlv(0x06, []byte{0x00})),
	), swDone
}

// algorithms are those that the card authentication key can be used with.
func (p *PIV) algorithms() []byte {
	switch {
	case p.o.Fault == HashOnCard:
		return []byte{algorithmHashOnCard}
	case p.o.Key == nil:
		return []byte{0x07} // RSA-2048, of other keys
	case p.o.Key.Curve == elliptic.P384():
		return []byte{algorithmP384}
	}
	return []byte{algorithmP256}
}

func (p *PIV) getData(c command) ([]byte, uint16) {
	if c.p1 != 0x3F || c.p2 != 0xFF {
		return nil, swWrongParameters
	}
	tag, name, rest, ok := nextTLV(c.data)
	if !ok || tag != 0x5C || len(rest) != 0 {
		return nil, swWrongData
	}
	object, ok := p.objects[string(name)]
	if !ok {
		return nil, swNotFound
	}
	return object, swDone
}

// authenticate is GENERAL AUTHENTICATE, as far as it is about a signature over a
// challenge (SP 800-73-4, part 2, 3.2.4, and appendix A.4).
func (p *PIV) authenticate(c command) ([]byte, uint16) {
	switch {
	case c.p2 != cardAuthentication && c.p2 >= 0x9A && c.p2 <= 0x9D, p.o.Fault == WantsPIN:
		return nil, swSecurity
	case c.p2 != cardAuthentication || p.o.Key == nil:
		return nil, swReferenceMissing
	case !bytes.Contains(p.algorithms(), []byte{c.p1}):
		return nil, swFunction
	}
	challenge, ok := challengeOf(c.data)
	if !ok || len(challenge) != (p.o.Key.Curve.Params().BitSize+7)/8 {
		return nil, swWrongData
	}
	return p.sign(challenge)
}

// challengeOf is what is to be signed: a dynamic authentication template with an empty
// response (82) and a challenge (81), in either order.
func challengeOf(data []byte) (challenge []byte, ok bool) {
	tag, template, rest, ok := nextTLV(data)
	if !ok || tag != 0x7C || len(rest) != 0 {
		return nil, false
	}
	wanted := false
	for len(template) > 0 {
		var value []byte
		if tag, value, template, ok = nextTLV(template); !ok {
			return nil, false
		}
		switch {
		case tag == 0x82 && len(value) == 0 && !wanted:
			wanted = true
		case tag == 0x81 && challenge == nil:
			challenge = value
		default:
			return nil, false
		}
	}
	return challenge, wanted && challenge != nil
}
