package pn532test

import (
	"slices"
	"time"
)

// open is what the manual leaves open, or boards do in different ways.
type open struct {
	preamble      []byte // before the start code FF
	behind        byte   // what is read behind the end of a frame
	listening     byte   // MISO while the host writes
	opening       byte   // MISO while the operation comes
	statusBits    byte   // of the status byte, beside bit 0
	zeroFirst     bool   // of two collided bits, the 0 is followed
	wakeTime      time.Duration
	attemptTime   time.Duration
	wakesByEdge   bool
	deafRest      bool
	losesFirst    bool
	releasesFirst bool
	abortSilences bool
	abortDeafens  bool
	runsUnread    bool
	request       byte
	version       [4]byte
	maxTx         int
	ignoresReset  bool
}

func defaultOpen() open {
	return open{
		preamble: []byte{0x00, 0x00}, behind: 0x00, listening: 0xFF, opening: 0x01,
		wakeTime: 2 * time.Millisecond, attemptTime: attemptTime, request: cmdREQA,
		version: [4]byte{0x32, 0x01, 0x06, 0x07}, maxTx: 4096,
	}
}

// Option sets up a chip.
type Option func(*Chip)

// Preamble sets the bytes before FF of a response. The manual draws 00 00 FF and
// says that the preamble may have any number of bytes (6.2.1.6); boards on SPI send
// a single 00 before FF now and then.
func Preamble(b ...byte) Option { return func(c *Chip) { c.open.preamble = b } }

// Behind sets what is read behind the end of a frame; nobody says.
func Behind(b byte) Option { return func(c *Chip) { c.open.behind = b } }

// Listening sets what MISO shows while the host writes a frame: boards were seen to
// show FF, 00 and AA.
func Listening(b byte) Option { return func(c *Chip) { c.open.listening = b } }

// Opening sets what MISO shows in the first byte of a transfer, while the operation
// is on its way: boards were seen to show 00, 01 and FF.
func Opening(b byte) Option { return func(c *Chip) { c.open.opening = b } }

// StatusBits sets bits of the status byte beside the ready bit. The data sheet's
// register has more of them, and boards show 08 at times.
func StatusBits(b byte) Option { return func(c *Chip) { c.open.statusBits = b &^ 1 } }

// ZeroFirst has the chip follow the 0 where two cards' bits differ. Which one it
// takes is its own business.
func ZeroFirst() Option { return func(c *Chip) { c.open.zeroFirst = true } }

// WakeTime sets how long chip select must be low before a sleeping chip hears: 2 ms
// by default, which is as long as the crystal may take.
func WakeTime(d time.Duration) Option { return func(c *Chip) { c.open.wakeTime = d } }

// AttemptTime sets how long an attempt of a listing takes that no card answers: 16 ms
// by default.
func AttemptTime(d time.Duration) Option { return func(c *Chip) { c.open.attemptTime = d } }

// WakesByEdge has the falling edge of chip select alone wake the chip. By default
// chip select has to stay low for the whole wake time.
func WakesByEdge() Option { return func(c *Chip) { c.open.wakesByEdge = true } }

// DeafRest has the chip ignore the rest of a transfer in which it woke. By default
// it takes the first byte that it hears for the operation.
func DeafRest() Option { return func(c *Chip) { c.open.deafRest = true } }

// LosesFirstCommand has the first command after each waking go unheard, as boards
// do now and then: the host has to send it again when no acknowledgement comes
// within 15 ms.
func LosesFirstCommand() Option { return func(c *Chip) { c.open.losesFirst = true } }

// ReleasesFirst has a new listing deselect the targets of the last one. By default
// the chip forgets them, and leaves the cards as they are.
func ReleasesFirst() Option { return func(c *Chip) { c.open.releasesFirst = true } }

// AbortSilences has an abort switch the field off. That explains boards that find
// a halted card again only after a listing was aborted.
func AbortSilences() Option { return func(c *Chip) { c.open.abortSilences = true } }

// AbortDeafens has the first command after an abort go unheard, as boards do now
// and then.
func AbortDeafens() Option { return func(c *Chip) { c.open.abortDeafens = true } }

// RunsUnread has a command run at once. By default it runs when its acknowledgement
// has been read.
func RunsUnread() Option { return func(c *Chip) { c.open.runsUnread = true } }

// WakesHalted has listings begin with WUPA. By default they begin with REQA, which
// is what was heard of boards on the air and explains why they find a card at every
// second listing only. The manual does not say. With it, no more than two cards can
// be told apart by listings alone.
func WakesHalted() Option { return func(c *Chip) { c.open.request = cmdWUPA } }

// Version sets the answer to GetFirmwareVersion: IC, version, revision, support.
func Version(ic, ver, rev, support byte) Option {
	return func(c *Chip) { c.open.version = [4]byte{ic, ver, rev, support} }
}

// MaxTxSize sets the longest transfer of the bus in bytes; the default is that of
// spidev, 4096.
func MaxTxSize(n int) Option { return func(c *Chip) { c.open.maxTx = n } }

// ResetPinDoesNotHelp makes FaultDeaf and FaultStuck survive the reset pin.
func ResetPinDoesNotHelp() Option { return func(c *Chip) { c.open.ignoresReset = true } }

// Interpretations are the readings of the manual that a driver must work with, by
// name: the defaults, each open question answered the other way, and all of them
// together.
func Interpretations() map[string][]Option {
	questions := map[string]Option{
		"a single 00 before FF":                    Preamble(0x00),
		"a long preamble":                          Preamble(0, 0, 0, 0, 0, 0),
		"FF behind a frame":                        Behind(0xFF),
		"AA behind a frame":                        Behind(0xAA),
		"00 while the host writes":                 Listening(0x00),
		"AA while the host writes":                 Listening(0xAA),
		"FF while the operation comes":             Opening(0xFF),
		"more bits in the status":                  StatusBits(0x08),
		"collisions: the 0 first":                  ZeroFirst(),
		"attempts of 5 ms":                         AttemptTime(5 * time.Millisecond),
		"attempts of 30 ms":                        AttemptTime(30 * time.Millisecond),
		"the edge alone wakes":                     WakesByEdge(),
		"deaf for the transfer in which it woke":   DeafRest(),
		"the first command after waking is lost":   LosesFirstCommand(),
		"a listing deselects the old targets":      ReleasesFirst(),
		"an abort switches the field off":          AbortSilences(),
		"the first command after an abort is lost": AbortDeafens(),
		"commands run before their ACK is read":    RunsUnread(),
	}
	all := map[string][]Option{"": nil}
	var together []Option
	others := []string{"a long preamble", "AA behind a frame", "AA while the host writes", "attempts of 5 ms"}
	for name, o := range questions {
		all[name] = []Option{o}
		if !slices.Contains(others, name) {
			together = append(together, o)
		}
	}
	all["all together"] = together
	return all
}
