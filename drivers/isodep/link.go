package isodep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"presence/drivers/card"
)

const (
	defaultBudget = 1800 * time.Millisecond

	// defaultMaxResponse allows for a certificate of 4 KiB in one response, and what
	// is around it.
	defaultMaxResponse = 8 << 10

	// maxFaults is how often a block is asked for again, and maxResends how often one
	// of ours is sent again, before the card counts as gone.
	maxFaults, maxResends = 3, 3

	// maxExtensions is how often a card may ask for more time during one link. A card
	// with the default FWT of 5 ms that asks for one more each time needs some 80 for a
	// signature of 400 ms.
	maxExtensions = 256

	// maxDeselects is how often a card is told to leave.
	maxDeselects = 3
)

var (
	// atsWait bounds the wait for the ATS. The standard's 71680 periods are 5.3 ms
	// (5.6.1 with ISO/IEC 14443-3, 6.2.1.1); some cards need longer.
	atsWait = 20 * time.Millisecond

	// deselectWait is the same for the answer to DESELECT (clause 8).
	deselectWait = cycles(71680 + tolerance)

	// unknownGuard is how long a card is left alone whose ATS did not arrive: as long as
	// with SFGI 5. Few cards need longer, and they are told to leave more than once.
	unknownGuard = cycles((4096 + 384) << 5)

	// leaveTime is what of a link's budget is kept for DESELECT.
	leaveTime = unknownGuard + maxDeselects*(deselectWait+time.Millisecond)
)

// rats is the command for an answer to select (5.1).
const rats = 0xE0

// errOver is the error of a link that is used after Run has returned.
var errOver = errors.New("the link is over")

// Options bound a link. The zero value will do.
type Options struct {
	// Budget is all the time that the link may take, from RATS to DESELECT; 0 means
	// 1.8 s. What the chip needs beside the waiting for answers may come on top, once.
	Budget time.Duration

	// MaxResponse is how long a response may be, in bytes; 0 means 8 KiB.
	MaxResponse int
}

// Link is a card that takes commands. It implements card.Link.
type Link struct {
	frames   card.Frames
	ats      []byte
	card     ATS
	fsd      int // longest frame that we announced to take
	size     int // longest frame that we send
	limit    int // of a response
	deadline time.Time

	deaf       bool // the card will not hear us within the time of the link
	number     byte // of our current block
	extensions int  // that the card has asked for
	err        error
	send       [2]byte // an R- or S-block of ours
	out        []byte  // an I-block of ours
}

var _ card.Link = (*Link)(nil)

// Run asks the selected card for its ATS, calls use with a link to it, and deselects it.
//
// The error is what use returned, or why the link did not come about: it is as those of
// card.Link, and where the card sent no ATS it wraps card.ErrGone together with
// card.ErrNoAnswer or card.ErrBadFrame. Of a card that was selected all right, that is
// often one which the field gives too little power for its processor.
func Run(ctx context.Context, frames card.Frames, o Options, use func(*Link) error) error {
	if o.Budget <= 0 {
		o.Budget = defaultBudget
	}
	if o.MaxResponse <= 0 {
		o.MaxResponse = defaultMaxResponse
	}
	l := &Link{frames: frames, limit: o.MaxResponse, deadline: time.Now().Add(o.Budget - leaveTime)}
	l.err = l.begin(ctx)
	err := l.err
	if err == nil {
		err = use(l)
	}
	l.leave(ctx)
	l.err = errOver
	return err
}

// begin asks for the ATS, and waits until the card is ready for the first block.
func (l *Link) begin(ctx context.Context) error {
	fsdi := frameSizeIndex(l.frames.MaxFrame())
	l.fsd = frameSize(int(fsdi))
	answer, err := l.transceive(ctx, []byte{rats, fsdi << 4}, atsWait)
	if lost(err) {
		return fmt.Errorf("ask a card for its ATS that was just selected: %w: %w", card.ErrGone, err)
	}
	if err != nil {
		return fmt.Errorf("ask for ATS: %w", err)
	}
	l.ats = append([]byte(nil), answer...)
	if l.card, err = ParseATS(l.ats); err != nil {
		return err
	}
	l.size = min(l.card.FSC, l.frames.MaxFrame())
	if l.card.SFGT == 0 {
		return nil
	}
	if l.card.SFGT >= time.Until(l.deadline) {
		l.deaf = true
		return fmt.Errorf("%w: it is ready only %v after its ATS", card.ErrTooSlow, l.card.SFGT)
	}
	ready := time.NewTimer(l.card.SFGT)
	defer ready.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ready.C:
		return nil
	}
}

// leave puts the card into HALT, where the next look at the field finds it. Whether the
// card confirms that or not changes nothing in what the link was for. Where chip or bus
// have failed, or the card hears nothing yet, nothing is tried.
func (l *Link) leave(ctx context.Context) {
	if l.deaf || l.err != nil && !ofCard(l.err) && ctx.Err() == nil {
		return
	}
	ctx = context.WithoutCancel(ctx) // a card must not be left awake
	if l.size == 0 {
		// It may have sent a sound ATS all the same, after which it hears nothing for a
		// while.
		ready := time.NewTimer(unknownGuard)
		defer ready.Stop()
		<-ready.C
	}
	for range maxDeselects {
		l.send[0] = pcbDeselect
		answer, err := l.frames.Transceive(ctx, l.send[:1], deselectWait)
		if err == nil && len(answer) == 1 && answer[0] == pcbDeselect {
			return
		}
		if err != nil && !lost(err) {
			return
		}
	}
}

// lost reports whether an error means that a frame was lost or spoilt on the air.
func lost(err error) bool {
	return errors.Is(err, card.ErrNoAnswer) || errors.Is(err, card.ErrBadFrame)
}

// ofCard reports whether an error is the card's, and not the chip's or the bus's.
func ofCard(err error) bool {
	return errors.Is(err, card.ErrGone) || errors.Is(err, card.ErrProtocol) || errors.Is(err, card.ErrTooSlow)
}

// ATS implements card.Link.
func (l *Link) ATS() []byte { return append([]byte(nil), l.ats...) }

// Parameters is what the ATS says.
func (l *Link) Parameters() ATS { return l.card }

// Exchange implements card.Link.
func (l *Link) Exchange(ctx context.Context, command []byte) ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	if len(command) == 0 {
		return nil, errors.New("exchange a command: it is empty")
	}
	first, err := l.command(ctx, command)
	var response []byte
	if err == nil {
		response, err = l.response(ctx, first)
	}
	if err != nil {
		l.err = fmt.Errorf("exchange a command: %w", err)
		return nil, l.err
	}
	return response, nil
}

// command sends a command, in several blocks where the card takes no longer ones, and
// returns the first block of the response.
func (l *Link) command(ctx context.Context, rest []byte) (block, error) {
	for {
		n := min(len(rest), l.size-overhead)
		l.out = append(append(l.out[:0], pcbI|l.number), rest[:n]...)
		rest = rest[n:]
		more := len(rest) > 0
		if more {
			l.out[0] |= bitMore
		}
		b, err := l.deliver(ctx)
		if err != nil {
			return block{}, err
		}
		switch {
		case more && b.kind != acknowledgement:
			return block{}, fmt.Errorf("%w: a response to a command that is not complete", card.ErrProtocol)
		case !more && b.kind == acknowledgement:
			return block{}, fmt.Errorf("%w: R(ACK) to a complete command", card.ErrProtocol)
		case !more:
			return b, nil
		}
	}
}

// deliver sends the I-block in l.out until the card has it, and returns what the card says
// to it. The number of our next block is then the other one.
func (l *Link) deliver(ctx context.Context) (block, error) {
	for range 1 + maxResends {
		b, err := l.converse(ctx, l.out, pcbRNAK|l.number)
		switch {
		case err != nil:
			return block{}, err
		case b.number == l.number:
			l.number ^= bitNumber
			return b, nil
		case b.kind == information || !b.asked:
			return block{}, fmt.Errorf("%w: block %d was answered as block %d", card.ErrProtocol, l.number, b.number)
		}
		// When it was asked, the card acknowledged the block before: it never got this
		// one (rule 6). Unasked no card does that, and one that got the block would carry
		// it out twice.
	}
	return block{}, fmt.Errorf("%w: it did not get a block that was sent %d times", card.ErrGone, 1+maxResends)
}

// response fetches the rest of a response of which one block is there.
func (l *Link) response(ctx context.Context, b block) ([]byte, error) {
	response := append([]byte(nil), b.inf...)
	for blocks := 1; b.more; blocks++ {
		// Blocks without content would go on for ever.
		if len(response) > l.limit || blocks > l.limit {
			break
		}
		// Where the answer is lost the same acknowledgement is sent again (rule 5): a
		// card that had got it repeats its block.
		l.send[0] = pcbRACK | l.number
		var err error
		if b, err = l.converse(ctx, l.send[:1], l.send[0]); err != nil {
			return nil, err
		}
		if b.kind != information || b.number != l.number {
			return nil, fmt.Errorf("%w: block %d of a chain was due", card.ErrProtocol, l.number)
		}
		l.number ^= bitNumber
		response = append(response, b.inf...)
	}
	switch {
	case b.more || len(response) > l.limit:
		return nil, fmt.Errorf("%w: a response of more than %d bytes", card.ErrProtocol, l.limit)
	case len(response) < 2:
		return nil, fmt.Errorf("%w: a response of %d bytes", card.ErrProtocol, len(response))
	}
	return response, nil
}

// Present asks whether the card is still there, by an R(NAK) that the card answers from
// its protocol alone (7.5.5, rule 12): nothing changes in it. An error ends the link and is
// as those of Exchange.
func (l *Link) Present(ctx context.Context) error {
	if l.err != nil {
		return l.err
	}
	l.send[0] = pcbRNAK | l.number
	b, err := l.converse(ctx, l.send[:1], l.send[0])
	if err == nil && (b.kind != acknowledgement || b.number == l.number) {
		err = fmt.Errorf("%w: R(NAK) %d was not answered by R(ACK) %d", card.ErrProtocol, l.number, l.number^bitNumber)
	}
	if err != nil {
		l.err = fmt.Errorf("ask whether the card is there: %w", err)
	}
	return l.err
}

// converse sends a frame and returns the card's information or acknowledgement. Where the
// answer is lost or spoilt the card is asked again by the block again; when the card asks
// for more time it gets that.
func (l *Link) converse(ctx context.Context, frame []byte, again byte) (block, error) {
	wait := l.card.FWT
	var reply [2]byte
	unheard := true // the card has not shown that it got the frame
	for faults := 0; ; {
		answer, err := l.transceive(ctx, frame, wait)
		wait = l.card.FWT // an extension holds for one answer only
		if lost(err) {
			if faults++; faults > maxFaults {
				return block{}, fmt.Errorf("%w: %w %d times in a row", card.ErrGone, err, faults)
			}
			reply[0] = again
			frame = reply[:1]
			continue
		}
		if err != nil {
			return block{}, err
		}
		b, err := parseBlock(answer)
		if err != nil || b.kind != extension {
			b.asked = unheard && faults > 0
			return b, err
		}
		unheard = unheard && faults > 0
		if l.extensions++; l.extensions > maxExtensions {
			return block{}, fmt.Errorf("%w: it asked for more time %d times", card.ErrTooSlow, l.extensions)
		}
		reply = [2]byte{pcbWTX, byte(b.multiplier)}
		frame, wait = reply[:], waitingTime(l.card.FWI, b.multiplier)
	}
}

// transceive sends a frame and waits for the answer for so long, but not beyond the end of
// the link's time. The answer has a byte at least, and no more than was announced to fit.
func (l *Link) transceive(ctx context.Context, frame []byte, wait time.Duration) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	left := time.Until(l.deadline)
	if left <= 0 {
		return nil, fmt.Errorf("%w: its time is over", card.ErrTooSlow)
	}
	answer, err := l.frames.Transceive(ctx, frame, min(wait, left))
	switch {
	case errors.Is(err, card.ErrNoAnswer) && wait >= left:
		return nil, fmt.Errorf("%w: its time is over", card.ErrTooSlow)
	case err != nil:
		return nil, err
	case len(answer) == 0:
		return nil, fmt.Errorf("%w: it is empty", card.ErrBadFrame)
	case len(answer) > l.fsd-2:
		return nil, fmt.Errorf("%w: a frame of %d bytes, where %d were announced to fit", card.ErrProtocol, len(answer)+2, l.fsd)
	}
	return answer, nil
}
