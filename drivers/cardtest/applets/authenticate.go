package applets

import (
	"crypto/subtle"
)

// part1 is AuthenticateEV2First or NonFirst up to the card's challenge (NTAG 424 DNA
// data sheet, 9.1.5 and 9.1.6).
func (d *DESFire) part1(ins byte, data []byte) ([]byte, byte) {
	p := pending{command: ins}
	switch {
	case d.o.Fault == UnknownAuthentication:
		return nil, stUnknownCommand
	case ins == cmdNonFirst && d.session == nil:
		return nil, stPermission
	case ins == cmdNonFirst && len(data) != 1,
		ins == cmdFirst && (len(data) < 2 || data[1] > 6 || len(data) != 2+int(data[1])):
		return nil, stLength
	}
	p.keyNo = data[0]
	if ins == cmdFirst {
		d.session = nil
		copy(p.caps[:], data[2:])
		if wantsLRP := p.caps[0]&0x02 != 0; wantsLRP != d.o.LRP {
			return nil, stPermission
		}
	}
	key, ok := d.o.Keys[p.keyNo]
	if !ok || !d.selected {
		return nil, stNoSuchKey
	}
	if status := d.tries[p.keyNo].refuse(); status != stDone {
		return nil, status
	}
	d.random(p.rndB[:])
	d.pending = p
	if d.o.LRP {
		return append([]byte{0x01}, p.rndB[:]...), stMore // AuthMode, and RndB in clear
	}
	return d.spoilPart1(encrypt(key, [16]byte{}, p.rndB[:]))
}

// refuse says why a key must not be tried now.
func (t *tries) refuse() byte {
	switch {
	case t.total >= failuresToLock:
		return stPermission // for ever
	case t.delays > 0:
		t.delays--
		return stDelay
	}
	return stDone
}

func (t *tries) failed() {
	t.total++
	t.consecutive++
	t.delays = max(0, t.consecutive-failuresToDelay+1)
}

func (t *tries) succeeded() {
	t.total = max(0, t.total-10)
	t.consecutive = 0
}

// part2 takes the reader's answer and challenge, and answers the challenge.
func (d *DESFire) part2(p pending, data []byte) ([]byte, byte) {
	key := d.o.Keys[p.keyNo]
	switch {
	case d.o.Fault == AbortsPart2:
		return nil, stAborted
	case len(data) != 32:
		return nil, stLength
	case d.o.Fault == NoKey:
		garbage := make([]byte, 32)
		d.random(garbage)
		return garbage, stDone
	}
	plain := decrypt(key, [16]byte{}, data)
	rndA := [16]byte(plain)
	if want := rotated(p.rndB); d.o.LRP || subtle.ConstantTimeCompare(plain[16:], want[:]) != 1 {
		d.tries[p.keyNo].failed()
		return nil, stAuthentication
	}
	d.saw(rndA, p.keyNo, p.command == cmdFirst)
	d.tries[p.keyNo].succeeded()
	enc, mac := sessionKeys(key, rndA, p.rndB)
	answer := rotated(rndA)
	if p.command == cmdNonFirst {
		d.session = &session{keyNo: p.keyNo, rndA: rndA, enc: enc, mac: mac, ti: d.session.ti, counter: d.session.counter}
		d.answered(rndA)
		return encrypt(key, [16]byte{}, answer[:]), stDone
	}
	s := &session{keyNo: p.keyNo, rndA: rndA, enc: enc, mac: mac}
	d.random(s.ti[:])
	d.session = s
	told := s.ti
	var caps [6]byte // PDcap2: none
	switch d.o.Fault {
	case WrongRndA:
		answer[7] ^= 0x10
	case UnrotatedRndA:
		answer = rndA
	case FlippedTI:
		told[2] ^= 0x01
	case UnknownCapabilities:
		caps = [6]byte{0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF} // all but LRP
	}
	if answer == rotated(rndA) {
		d.answered(rndA)
	}
	last := append(told[:], answer[:]...)
	last = append(append(last, caps[:]...), p.caps[:]...)
	return d.spoilPart2(encrypt(key, [16]byte{}, last))
}
