package pn532

import (
	"context"
	"errors"
	"slices"
	"time"

	"presence/drivers/card"
)

const (
	// maxCards bounds how many cards one scan reports. More do not get enough power
	// from the field to work.
	maxCards = 8

	// scanTime bounds one scan. What it is at by then is still finished.
	scanTime = 250 * time.Millisecond

	// forgetAfter is how many scans in a row must miss a card that was there before
	// it is no longer called by its UID.
	forgetAfter = 3

	// calls is how often one scan calls such a card. A card that is ACTIVE, or READY
	// because its ATQA got lost, takes a WUPA for an error, which sends it back without
	// an answer (ISO 6.3), so that one call may be in vain after each lost answer.
	calls = 4

	// maxRepeated is how many answers in a row of cards that are known already end
	// the search for others: this chip's requests reach cards in HALT too.
	maxRepeated = 3

	// typeBEvery is how many scans there are to one that looks for type B, while no
	// card of that type is there.
	typeBEvery = 2

	// maxPUPIs is how many numbers of cards of type B are remembered while one is
	// there.
	maxPUPIs = 8

	// maxRefusals is how many refusals in a row say that the chip allows no raw frames.
	maxRefusals = 3

	// maxBad is how many bad answers of cards a scan puts up with.
	maxBad = 6
)

// Commands of ISO/IEC 14443-3 type A (6.4).
const (
	cmdWUPA = 0x52 // wakes cards in IDLE and in HALT
	cmdHLTA = 0x50

	nvbSelect  = 0x70 // all 40 bits of a level are known
	sakCascade = 0x04 // another cascade level follows
	sakLayer4  = 0x20 // the card speaks ISO/IEC 14443-4
)

// afiAll reaches cards of type B of all application families (ISO 7.7.3).
const afiAll = 0x00

// scan is what one scan has found so far.
type scan struct {
	seen       []card.Card
	doubted    []card.Card // read only once
	unreadable bool        // a card is there that has no number of its own
	end        time.Time
	bad        int // answers of cards that were bad
	halted     []card.Card
}

func has(cards []card.Card, uid card.UID) bool {
	return slices.ContainsFunc(cards, func(c card.Card) bool { return c.UID == uid })
}

func (s *scan) add(c card.Card) {
	if !has(s.seen, c.UID) {
		s.seen = append(s.seen, c)
	}
}

func (s *scan) more(ctx context.Context) bool {
	return ctx.Err() == nil && len(s.seen) < maxCards && s.bad < maxBad && time.Now().Before(s.end)
}

// scan finds the cards in the field. An error is the chip's or the bus's; a card that
// does something wrong is only not seen.
func (r *Reader) scan(ctx context.Context, s *scan) error {
	s.end = time.Now().Add(scanTime)
	if r.stray {
		if err := r.cycle(ctx); err != nil {
			return err
		}
	}
	if err := r.search(ctx, s); err != nil {
		return err
	}
	if err := r.callMissing(ctx, s); err != nil {
		return err
	}
	return r.searchB(ctx, s)
}

// search finds the cards of type A that answer the chip's own request.
func (r *Reader) search(ctx context.Context, s *scan) error {
	var found []card.Card
	for repeated := 0; repeated < maxRepeated && s.more(ctx); {
		r.framing = framingUnknown
		target, err := r.list(ctx, typeA)
		if err == nil && target == nil {
			return nil
		}
		var c card.Card
		if err == nil {
			c, err = parseA(target)
		}
		sound := err == nil
		if sound {
			sound, err = r.believe(ctx, s, c, target)
		}
		switch {
		case errors.Is(err, errTarget), err == nil && !sound:
			s.bad++
			r.counts.BadFrames++
			continue
		case err != nil:
			return err
		case !has(found, c.UID):
			found = append(found, c)
			repeated = 0
		case len(found) == 1:
			return nil // it is alone, and stays ACTIVE until the next scan
		default:
			repeated++
		}
		if len(found) > 1 {
			// Only those are heard now that were not found yet.
			s.halted = append(s.halted, c)
			if err := r.halt(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// believe adds a card that the chip has just told of, if it was there before or can be
// confirmed. It reports whether there may be such a card at all.
func (r *Reader) believe(ctx context.Context, s *scan, c card.Card, target []byte) (bool, error) {
	if i := slices.IndexFunc(r.last, func(k lastSeen) bool { return k.UID == c.UID }); i >= 0 {
		s.add(r.last[i].Card)
		return true, nil
	}
	if has(s.seen, c.UID) {
		return true, nil
	}
	same, err := r.sameAgain(ctx, target)
	switch {
	case err == nil && same:
		s.add(c)
		return true, nil
	case err == nil:
		return false, nil
	case !errors.Is(err, errFrame) && !errors.Is(err, errStuck):
		return false, err
	}
	// The chip does not repeat itself. Then the card has to confirm its UID, and where
	// it cannot be asked, be found once more.
	if !r.noRaw {
		s.halted = append(s.halted, c)
		return r.callUntil(ctx, s, c)
	}
	if slices.Contains(s.doubted, c) || slices.Contains(r.doubted, c) {
		s.add(c)
	} else {
		s.doubted = append(s.doubted, c)
	}
	return true, nil
}

// callMissing looks for cards of type A that were there before and did not answer:
// they are in HALT, or their answer got lost, or another card's covered it.
func (r *Reader) callMissing(ctx context.Context, s *scan) error {
	missing, random, first, stuck := false, false, false, false
	for _, c := range r.last {
		if c.TypeB {
			continue
		}
		if !has(s.seen, c.UID) {
			there, err := r.callUntil(ctx, s, c.Card)
			if err != nil {
				return err
			}
			if there && !c.halted {
				r.counts.BadFrames++ // it should have answered the chip's request
			}
		}
		gone := !has(s.seen, c.UID)
		missing = missing || gone
		first = first || gone && c.misses == 0
		stuck = stuck || gone && c.selected
		random = random || c.UID.Random()
	}
	// Without raw frames nothing else wakes a card, nor one that still speaks ISO/IEC
	// 14443-4; and where nothing is seen any more it is made sure of once.
	if missing && (r.noRaw || stuck || len(s.seen) == 0 && first && !random) && s.more(ctx) {
		if err := r.cycle(ctx); err != nil {
			return err
		}
		return r.search(ctx, s)
	}
	return nil
}

// callUntil calls a card until it answers, and adds it then. A chip that allows no
// raw frames finds none.
func (r *Reader) callUntil(ctx context.Context, s *scan, c card.Card) (bool, error) {
	for n := 0; n < calls && !r.noRaw && s.more(ctx); n++ {
		if n == calls/2 {
			// A zero byte that got lost on the bus passes both checksums, where another
			// zero follows the frame: a register may have another value than it seems.
			r.framing = framingUnknown
		}
		there, err := r.call(ctx, c)
		if there {
			s.add(c)
			s.halted = append(s.halted, c)
			r.counts.BadFrames += int64(n)
		}
		switch {
		case errors.Is(err, errRefused):
			r.refusesRaw()
		case err != nil || there:
			return there, err
		}
	}
	return false, nil
}

// cycle switches the field off and on, so that all cards start anew.
func (r *Reader) cycle(ctx context.Context) error {
	if err := r.setField(ctx, 0); err != nil {
		return err
	}
	r.stray = false
	for i := range r.last {
		r.last[i].selected = false
	}
	return r.setField(ctx, 1)
}

// call wakes all cards, selects the one with this UID, and puts it to sleep. It
// reports whether that card is there.
func (r *Reader) call(ctx context.Context, c card.Card) (bool, error) {
	heard, there, err := r.wake(ctx, c)
	if err != nil || !heard {
		return false, err
	}
	return there, r.halt(ctx)
}

// wake wakes all cards and selects the one with this UID. It reports whether any was
// heard, and whether that one was selected. The others sleep again afterwards.
func (r *Reader) wake(ctx context.Context, c card.Card) (heard, there bool, err error) {
	if err := r.setFraming(ctx, framingShort); err != nil {
		return false, false, err
	}
	// Whatever is heard but silence is an ATQA, or several at once.
	s, _, err := r.raw(ctx, cmdWUPA)
	if err != nil || s == statusTimeout {
		return false, false, err
	}
	if err := r.setFraming(ctx, framingWhole); err != nil {
		return true, false, err
	}
	there, err = r.selectCard(ctx, c.UID)
	return true, there, err
}

// selectCard sends the SELECT of each cascade level with the UID's bytes in it, and
// reports whether the card confirmed the last one. The chip checks the CRC_A of each
// SAK.
//
// Cards of several technologies whose UIDs begin alike all answer the first level, each
// with a SAK of its own, and these collide (ISO 6.5.3). That is no error yet: which of
// them is meant the next level says, which only this card confirms.
func (r *Reader) selectCard(ctx context.Context, uid card.UID) (bool, error) {
	rest := uid.Bytes()
	for sel := byte(0x93); ; sel += 2 {
		part := rest[:min(len(rest), 4)]
		last := len(rest) == 4
		if !last {
			part = append([]byte{cascadeTag}, rest[:3]...)
			rest = rest[3:]
		}
		bcc := part[0] ^ part[1] ^ part[2] ^ part[3]
		s, answer, err := r.raw(ctx, append(append([]byte{sel, nvbSelect}, part...), bcc)...)
		switch {
		case err != nil:
			return false, err
		case s == statusTimeout:
			return false, nil // another card is there, or none
		case !last && (s == statusCollision || s == statusCRC || s == statusParity):
			continue
		case s != statusOK || len(answer) != 1 || (answer[0]&sakCascade == 0) != last:
			r.counts.BadFrames++
			return false, nil
		case last:
			return true, nil
		}
	}
}

// halt sends HLTA. The card acknowledges it by silence; whatever else is heard says
// that one might still be awake, so it is told again.
//
// A chip that allows no raw frames is told to let go of its card, for which it sends
// HLTA too.
func (r *Reader) halt(ctx context.Context) error {
	if r.noRaw {
		return r.release(ctx)
	}
	err := r.setFraming(ctx, framingWhole)
	for n := 0; n < 2 && err == nil; n++ {
		var s status
		if s, _, err = r.raw(ctx, cmdHLTA, 0); s == statusTimeout {
			break
		}
	}
	if errors.Is(err, errRefused) {
		r.refusesRaw()
		return r.release(ctx)
	}
	return err
}

// release has the chip let go of the cards that it has selected.
func (r *Reader) release(ctx context.Context) error {
	_, err := r.link.exchange(ctx, request{code: cmdRelease, params: []byte{allTargets}, want: 1, wait: listWait})
	if errors.Is(err, errRefused) {
		return nil
	}
	return err
}

// refusesRaw notes that the chip has refused a raw frame. A single one may have been
// spoilt on the bus.
func (r *Reader) refusesRaw() {
	if r.refusals++; r.refusals < maxRefusals {
		return
	}
	r.noRaw = true
	r.log.Warn("the reader chip allows no raw frames: of several cards at once, those with random UIDs will seem new at each look")
}

// searchB finds a card of type B. One that is known is in a state in which it answers
// no request, so that the field is switched off and on first.
func (r *Reader) searchB(ctx context.Context, s *scan) error {
	r.turn = (r.turn + 1) % typeBEvery
	if r.version[3]&supportsB == 0 || !s.more(ctx) {
		return ctx.Err()
	}
	there := r.unreadable > 0 || slices.ContainsFunc(r.last, func(c lastSeen) bool { return c.TypeB })
	if !there {
		r.pupis = nil
		if r.turn != 0 {
			return nil
		}
	} else if err := r.cycle(ctx); err != nil {
		return err
	}
	for n := range 2 {
		pupi, found, err := r.nextB(ctx, s)
		if err != nil || !found {
			return err
		}
		if slices.Contains(r.pupis, pupi) {
			// It was the same before the field was switched off.
			s.add(card.Card{UID: pupi, TypeB: true})
			return nil
		}
		r.pupis = append(r.pupis[max(0, len(r.pupis)-maxPUPIs+1):], pupi)
		if n > 0 {
			break
		}
		if err := r.cycle(ctx); err != nil {
			return err
		}
	}
	s.unreadable = true
	return nil
}

// nextB has the chip select a card of type B and returns its PUPI.
func (r *Reader) nextB(ctx context.Context, s *scan) (pupi card.UID, found bool, err error) {
	r.framing = framingUnknown
	target, err := r.list(ctx, typeB, afiAll)
	if err == nil && target != nil {
		found = true
		pupi, err = parseB(target)
	}
	if errors.Is(err, errTarget) {
		s.bad++
		r.counts.BadFrames++
		return pupi, false, nil
	}
	if err != nil || !found {
		return pupi, found, err
	}
	// While it is there it lets itself be told to go. A chip that has to tell a card
	// that is gone tries for a second.
	return pupi, true, r.release(ctx)
}
