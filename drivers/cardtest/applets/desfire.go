package applets

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"
)

// Family is what kind of chip a model of DESFire says that it is.
type Family int

// The families.
const (
	EV2 Family = iota
	EV3
	NTAG424
)

// Status bytes of DESFire and NTAG 424 DNA (NTAG 424 DNA data sheet, table 23); on the
// wire 91 is before them.
const (
	stDone           = 0x00
	stUnknownCommand = 0x1C
	stIntegrity      = 0x1E
	stNoSuchKey      = 0x40
	stLength         = 0x7E
	stPermission     = 0x9D
	stParameter      = 0x9E
	stNoApplication  = 0xA0
	stDelay          = 0xAD
	stAuthentication = 0xAE
	stMore           = 0xAF
	stBoundary       = 0xBE
	stAborted        = 0xCA
	stNoFile         = 0xF0
)

// Commands.
const (
	cmdFirst             = 0x71
	cmdNonFirst          = 0x77
	cmdMore              = 0xAF
	cmdSelectApplication = 0x5A
	cmdVersion           = 0x60
	cmdUID               = 0x51
	cmdFiles             = 0x6F
	cmdRead              = 0xAD
	cmdReadOld           = 0xBD // the code that EV1 knew already
	cmdWrite             = 0x8D
)

// How often a key may be tried in vain (NTAG 424 DNA data sheet, "failed authentication
// counter"), and what each refusal takes: 65 % of a frame waiting time of 77 ms (FWI 8).
const (
	failuresToDelay = 50
	failuresToLock  = 1000
	delayedFor      = 50 * time.Millisecond
)

// Mode is how a file is read and written in an authenticated session.
type Mode int

// The modes of communication.
const (
	Plain Mode = iota
	MACed
	Full
)

// File is a standard data file.
type File struct {
	Data []byte
	Mode Mode
	// Key is the number of the key whose session may read and write; Free is nobody's.
	Key byte
}

// Free is the access right of a file that anybody may read, and nobody may write.
const Free = 0x0E

// DESFireOptions are what a DESFire or an NTAG 424 DNA is made of.
type DESFireOptions struct {
	Family Family
	UID    [7]byte // the real one, also where the card shows random ones
	// RandomID says that the card shows random UIDs: GetVersion does not tell the real
	// one either.
	RandomID bool
	// Application is the one on the card, most significant byte first, as people write
	// it. The NTAG has its own, D2760000850101, and none of these.
	Application [3]byte
	Keys        map[byte][16]byte // of the application, by number
	Files       map[byte]*File    // of the application, by number
	LRP         bool              // the card is set to LRP, and takes no AES
	// Failures are those of each key so far: in all, and since the last success. A new
	// card has none.
	Failures, Consecutive int
	Seed                  uint64        // of RndB and TI
	Delay                 time.Duration // before each answer; 0 is 3 ms
	Fault                 DESFireFault  // what the card does wrong
}

// DESFire is a DESFire EV2 or EV3, or an NTAG 424 DNA. It takes wrapped commands of CLA
// 90, and ISO SELECT.
type DESFire struct {
	Log

	mu     sync.Mutex
	o      DESFireOptions
	random func([]byte)
	tries  map[byte]*tries // of each key; kept without power

	selected bool // the application; else the level of the card
	pending  pending
	session  *session
}

// tries counts authentications that failed.
type tries struct {
	total       int // TotFailCtr
	consecutive int // SeqFailCtr
	delays      int // 91AD that are still to come before the key may be tried again
}

// pending is what a command left to be continued by AF.
type pending struct {
	command byte // cmdVersion, cmdFirst, cmdNonFirst, cmdRead; 0 where nothing is
	frame   int  // of the version, which comes next
	rest    []byte
	keyNo   byte
	rndB    [16]byte
	caps    [6]byte // PCDcap2
}

// NewDESFire makes a card that lies without power.
func NewDESFire(o DESFireOptions) *DESFire {
	if o.Delay == 0 {
		o.Delay = 3 * time.Millisecond
	}
	source := rand.New(rand.NewPCG(o.Seed, binary.BigEndian.Uint64(append([]byte{0}, o.UID[:]...))))
	d := &DESFire{o: o, tries: make(map[byte]*tries)}
	d.random = func(b []byte) {
		for i := range b {
			b[i] = byte(source.Uint32())
		}
	}
	for number := range o.Keys {
		d.tries[number] = &tries{total: o.Failures, consecutive: o.Consecutive, delays: max(0, o.Consecutive-failuresToDelay+1)}
	}
	return d
}

// Reset implements cardtest.Applet.
func (d *DESFire) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.selected = false
	d.drop()
}

// Failures are the authentications with a key that have failed: TotFailCtr, which falls
// by ten at each success.
func (d *DESFire) Failures(keyNo byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tries[keyNo]; t != nil {
		return t.total
	}
	return 0
}

// drop ends the session and whatever was to be continued.
func (d *DESFire) drop() { d.session, d.pending = nil, pending{} }

// Command implements cardtest.Applet.
func (d *DESFire) Command(apdu []byte) (answer []byte, delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer func() { d.exchanged(apdu, answer) }()
	c, ok := parseCommand(apdu)
	switch {
	case !ok:
		d.drop()
		return reply(nil, swWrongLength), d.o.Delay
	case c.cla == 0x00:
		return reply(nil, d.iso(c)), d.o.Delay
	case c.cla != 0x90:
		d.drop()
		return reply(nil, swClass), d.o.Delay
	case c.p1 != 0 || c.p2 != 0:
		d.drop()
		return reply(nil, swWrongParameters), d.o.Delay
	case c.le != 256: // "Le shall be 00" (NTAG 424 DNA data sheet, table 21)
		d.drop()
		return reply(nil, swWrongLength), d.o.Delay
	}
	data, status := d.wrapped(c.ins, c.data)
	if status != stDone && status != stMore {
		d.drop() // "any error drops the authentication", and comes without a MAC
		data = nil
	}
	if status == stDelay {
		return reply(nil, 0x9100|stDelay), delayedFor
	}
	return reply(data, 0x9100|uint16(status)), d.o.Delay
}

// iso is the ISO SELECT by name.
func (d *DESFire) iso(c command) uint16 {
	d.drop()
	switch {
	case c.ins != 0xA4:
		return swInstruction
	case c.p1 != 0x04 || c.p2 != 0x00 && c.p2 != 0x0C:
		return swWrongParameters
	case d.o.Family != NTAG424 || string(c.data) != "\xD2\x76\x00\x00\x85\x01\x01":
		return swNotFound
	}
	d.selected = true
	return swDone
}

// wrapped carries out a command and returns its answer and status byte.
func (d *DESFire) wrapped(ins byte, data []byte) ([]byte, byte) {
	p := d.pending
	d.pending = pending{}
	if ins == cmdMore {
		return d.more(p, data)
	}
	if p.command != 0 {
		return nil, stAborted // only AF may come between the parts of a command
	}
	switch ins {
	case cmdVersion:
		if _, _, status := d.unwrap(ins, data, 0, MACed); status != stDone {
			return nil, status
		}
		return d.version(0)
	case cmdSelectApplication:
		return d.selectApplication(data)
	case cmdFirst, cmdNonFirst:
		return d.part1(ins, data)
	case cmdUID:
		return d.cardUID(data)
	case cmdFiles:
		return d.fileNumbers(data)
	case cmdRead, cmdReadOld:
		return d.read(ins, data)
	case cmdWrite:
		return d.write(data)
	}
	return nil, stUnknownCommand
}

// more continues what was left open.
func (d *DESFire) more(p pending, data []byte) ([]byte, byte) {
	switch p.command {
	case cmdVersion, cmdRead:
		if len(data) != 0 {
			return nil, stLength
		}
		if p.command == cmdRead {
			return d.frames(p.rest)
		}
		return d.version(p.frame)
	case cmdFirst, cmdNonFirst:
		return d.part2(p, data)
	}
	return nil, stUnknownCommand
}

// version is one of the three frames of GetVersion: hardware, software, production. What
// it says is a claim, and no proof.
func (d *DESFire) version(frame int) ([]byte, byte) {
	hardware := map[Family]string{
		EV2:     "\x04\x01\x01\x12\x00\x18\x05",
		EV3:     "\x04\x01\x01\x33\x00\x1A\x05",
		NTAG424: "\x04\x04\x08\x30\x00\x11\x05",
	}
	software := map[Family]string{
		EV2:     "\x04\x01\x01\x02\x01\x18\x05",
		EV3:     "\x04\x01\x01\x03\x00\x1A\x05",
		NTAG424: "\x04\x04\x02\x01\x02\x11\x05",
	}
	production := make([]byte, 7, 14)
	if !d.o.RandomID {
		copy(production, d.o.UID[:])
	}
	production = append(production, 0xBA, 0x34, 0x5A, 0x42, 0x30, 0x21, 0x24) // batch of 5 bytes, week 21, year 24
	d.pending = pending{command: cmdVersion, frame: frame + 1}
	switch {
	case d.o.Fault == EndlessFrames || frame == 0:
		return []byte(hardware[d.o.Family]), stMore
	case frame == 1:
		return []byte(software[d.o.Family]), stMore
	}
	d.pending = pending{}
	if s := d.session; s != nil {
		whole := append([]byte(hardware[d.o.Family]), software[d.o.Family]...)
		mac := s.macOver(stDone, append(whole, production...))
		production = append(production, mac[:]...)
	}
	return production, stDone
}

func (d *DESFire) selectApplication(aid []byte) ([]byte, byte) {
	if d.o.Family == NTAG424 {
		return nil, stUnknownCommand
	}
	if len(aid) != 3 {
		return nil, stLength
	}
	d.drop()
	switch [3]byte{aid[2], aid[1], aid[0]} { // least significant byte first on the wire
	case [3]byte{}:
		d.selected = false
	case d.o.Application:
		d.selected = true
	default:
		return nil, stNoApplication
	}
	return nil, stDone
}
