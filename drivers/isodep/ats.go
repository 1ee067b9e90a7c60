package isodep

import (
	"fmt"
	"time"

	"presence/drivers/card"
)

// carrier is the frequency of the field in Hz, by whose periods the standard counts time.
const carrier = 13_560_000

// cycles is the duration of so many periods of the carrier, rounded up.
func cycles(n int64) time.Duration {
	return time.Duration((n*int64(time.Second) + carrier - 1) / carrier)
}

// Values of the fields of an ATS that are not there, or that have a value reserved for
// future use (5.2.3 to 5.2.6).
const (
	defaultFSCI = 2
	defaultFWI  = 4
	reserved    = 15 // of FWI and of SFGI
)

// Bits of T0 that tell which interface bytes follow, in this order (5.2.3).
const (
	hasTA = 0x10
	hasTB = 0x20
	hasTC = 0x40
)

// Bits of TC (5.2.6).
const (
	tcNAD = 0x01
	tcCID = 0x02
)

// frameSizes are FSD and FSC by FSDI and FSCI, in bytes with CRC_A (5.1, table 1). Larger
// ones came with the edition of 2016, and no reader chip here has room for them: values
// from 9 on, also those that are reserved, count as the last one, as the edition of 2008
// asks for.
var frameSizes = [...]int{16, 24, 32, 40, 48, 64, 96, 128, 256}

// frameSize is FSD or FSC in bytes.
func frameSize(index int) int { return frameSizes[min(index, len(frameSizes)-1)] }

// frameSizeIndex is the largest FSDI whose frames have no more than so many bytes.
func frameSizeIndex(limit int) (fsdi byte) {
	for i, size := range frameSizes {
		if size <= limit {
			fsdi = byte(i)
		}
	}
	return fsdi
}

// ATS is what a card says of itself in its answer to select (5.2).
type ATS struct {
	// FSC is the longest frame that the card takes, in bytes with CRC_A; frames of more
	// than 256 are never sent.
	FSC int

	// FWI and FWT are the frame waiting time: within it the card begins its answer (7.2).
	// The FWT here is what a reader waits: with the 49152 periods that are allowed for.
	FWI int
	FWT time.Duration

	// SFGT is how long the card needs after its ATS until it takes the first block, with
	// the tolerance that the standard adds. 0 means that it is ready at once.
	SFGT time.Duration

	CID, NAD bool // the card knows card identifiers, and node addresses

	Historical []byte // bytes of the card's maker, often its family
}

// ParseATS reads an answer to select without its CRC_A. Where an interface byte is
// missing or has a reserved value it has the standard's default. An answer whose length
// is not what it says, or which announces more than it holds, is a card.ErrProtocol.
func ParseATS(b []byte) (ATS, error) {
	if len(b) == 0 || int(b[0]) != len(b) {
		return ATS{}, fmt.Errorf("parse ATS % X: %w: its length is not what it says", b, card.ErrProtocol)
	}
	a := ATS{FSC: frameSize(defaultFSCI), FWI: defaultFWI, CID: true}
	rest := b[1:]
	missing := false
	next := func() (v byte) {
		if missing = missing || len(rest) == 0; missing {
			return 0
		}
		v, rest = rest[0], rest[1:]
		return v
	}
	if len(rest) > 0 {
		t0 := next()
		a.FSC = frameSize(int(t0 & 0x0F))
		if t0&hasTA != 0 {
			next() // other bit rates, which are not used
		}
		if t0&hasTB != 0 {
			tb := next()
			if fwi := int(tb >> 4); fwi != reserved {
				a.FWI = fwi
			}
			if sfgi := int(tb & 0x0F); sfgi != 0 && sfgi != reserved {
				a.SFGT = cycles((4096 + 384) << sfgi)
			}
		}
		if t0&hasTC != 0 {
			tc := next()
			a.CID, a.NAD = tc&tcCID != 0, tc&tcNAD != 0
		}
	}
	if missing {
		return ATS{}, fmt.Errorf("parse ATS % X: %w: interface bytes are missing", b, card.ErrProtocol)
	}
	a.FWT = waitingTime(a.FWI, 1)
	if len(rest) > 0 {
		a.Historical = append([]byte(nil), rest...)
	}
	return a, nil
}

// Of frame waiting times, in periods of the carrier.
const (
	maxWaiting = 4096 << 14 // the longest there is, extended or not (7.2, 7.3)
	tolerance  = 49152      // what a reader waits longer (7.2)
)

// waitingTime is how long a reader waits for an answer to begin: the frame waiting time
// of the index, times the multiplier that the card asked for (7.3).
func waitingTime(fwi, multiplier int) time.Duration {
	return cycles(min(int64(4096)<<fwi*int64(multiplier), maxWaiting) + tolerance)
}
