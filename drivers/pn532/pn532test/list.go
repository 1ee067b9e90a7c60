package pn532test

// listing is InListPassiveTarget under way (manual, section 7.3.5).
type listing struct {
	chip  *Chip
	max   int
	typeB bool
	afi   byte
	known []byte // UID with cascade tags
	tries int    // left, endless where below 0
}

// list begins InListPassiveTarget: how many targets, at which speed and modulation,
// and for type A the UID that is meant, for type B the application family and how
// to go about the anticollision.
func (c *Chip) list(p []byte, at instant) *job {
	if len(p) < 2 || p[0] < 1 || p[0] > 2 {
		return c.wrong(cmdListPassive, p, at)
	}
	l := &listing{chip: c, max: int(p[0]), tries: 1 + int(c.retries)}
	switch modulation, data := p[1], p[2:]; {
	case modulation == 0x00 && len(data) <= 12:
		l.known = data
	case modulation == 0x03 && (len(data) == 1 || len(data) == 2 && data[1] <= 1):
		l.typeB, l.afi = true, data[0]
	default:
		return c.wrong(cmdListPassive, p, at)
	}
	if c.retries == endless {
		c.violation("a listing with retries without end")
		l.tries = -1
	}
	for _, t := range c.targets {
		if t != nil && c.open.releasesFirst {
			at = c.dismiss(t, at)
		}
	}
	c.targets, c.rest = [2]*target{}, nil
	c.frameFor(l.typeB)
	if !c.rf {
		c.setRF(true, at)
		at += fieldRise
	}
	return &job{at, l.attempt}
}

// frameFor sets the registers that a listing leaves behind: frames of one type,
// whole, with a checksum.
func (c *Chip) frameFor(typeB bool) {
	mode := byte(modeCRC)
	if typeB {
		mode |= modeTypeB
	}
	c.ciu[ciuTxMode&0x3F], c.ciu[ciuRxMode&0x3F] = mode, mode
	c.ciu[ciuBitFraming&0x3F] = 0
}

// attempt tries to activate a target, and a second one where that is asked for and
// the first was found.
func (l *listing) attempt(at instant) ([]byte, instant) {
	c := l.chip
	t, status, end := l.activate(c.open.request, at)
	if t == nil {
		c.lastError = status
		if l.tries > 0 {
			l.tries--
		}
		next := max(end, at+c.open.attemptTime)
		if l.tries == 0 {
			return l.response(), next
		}
		return nil, next
	}
	c.targets[0] = t
	if l.max == 2 {
		// The first one must be silent while the second is looked for.
		end = c.dismiss(t, end)
		c.targets[1], _, end = l.activate(cmdREQA, end)
	}
	c.lastError = statusOK
	return l.response(), end + commandTime
}

func (l *listing) activate(request byte, at instant) (*target, byte, instant) {
	if l.typeB {
		return l.chip.activateB(at, l.afi)
	}
	return l.chip.activateA(at, request, l.known)
}

func (l *listing) response() []byte {
	b := []byte{cmdListPassive + 1, 0}
	for i, t := range l.chip.targets {
		if t != nil {
			b[1]++
			b = append(b, t.data(byte(i+1))...)
		}
	}
	return b
}

// target is the one with a number, nil where there is none.
func (c *Chip) target(number byte) *target {
	if number < 1 || int(number) > len(c.targets) {
		return nil
	}
	return c.targets[number-1]
}

// selecting is InSelect, InDeselect and InRelease (manual, sections 7.3.10 to
// 7.3.12), each with a target's number; 0 means all, but for InSelect.
func (c *Chip) selecting(code byte, p []byte, at instant) *job {
	if len(p) != 1 {
		return c.wrong(code, p, at)
	}
	t := c.target(p[0])
	if t == nil && (p[0] != 0 || code == cmdSelect) {
		return c.statusReply(at+commandTime, code+1, statusContext)
	}
	if code == cmdSelect {
		status, end := c.reselect(t, at)
		return c.statusReply(end+commandTime, code+1, status)
	}
	for i, one := range c.targets {
		if one == nil || t != nil && one != t {
			continue
		}
		at = c.dismiss(one, at)
		if code == cmdRelease {
			c.targets[i] = nil
		}
	}
	return c.statusReply(at+commandTime, code+1, statusOK)
}

// reselect makes a target the selected one. One that sleeps is woken with WUPA and
// selected by its UID.
func (c *Chip) reselect(t *target, at instant) (byte, instant) {
	if t.selected {
		return statusOK, at
	}
	for _, other := range c.targets {
		if other != nil && other != t {
			at = c.dismiss(other, at)
		}
	}
	if t.typeB {
		return c.reselectB(t, at)
	}
	again, status, at := c.activateA(at, cmdWUPA, t.cascaded())
	if status != statusOK {
		return status, at
	}
	t.ats, t.selected = again.ats, true
	return statusOK, at
}

func (c *Chip) reselectB(t *target, at instant) (byte, instant) {
	_, status, at := c.standardB(at, 0x05, 0x00, 0x08)
	if status == statusOK {
		_, status, at = c.standardB(at, append(append([]byte{0x1D}, t.atqb[1:5]...), 0x00, 0x08, 0x01, 0x00)...)
	}
	t.selected = status == statusOK
	return status, at
}

// cascaded is the UID with its cascade tags.
func (t *target) cascaded() []byte {
	switch u := t.uid; len(u) {
	case 7:
		return append([]byte{cascadeTag}, u...)
	case 10:
		return append(append([]byte{cascadeTag}, u[:3]...), append([]byte{cascadeTag}, u[3:]...)...)
	default:
		return u
	}
}

// presence is Diagnose, number 6: does the selected target answer an R(NAK)?
func (c *Chip) presence(at instant) *job {
	for _, t := range c.targets {
		if t == nil || !t.selected || !t.layer4() {
			continue
		}
		ask := c.standard
		if t.typeB {
			ask = c.standardB
		}
		_, status, end := ask(at, blkNAK|t.block)
		return c.statusReply(end+commandTime, cmdDiagnose+1, status)
	}
	return c.statusReply(at+commandTime, cmdDiagnose+1, statusContext)
}
