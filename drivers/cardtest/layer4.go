package cardtest

import "time"

// Layer4 is how a card speaks ISO/IEC 14443-4: what its answer to select (ATS)
// announces, and how it goes about its answers. The zero Layer4 is a card that takes
// frames of 16 bytes and knows neither CID nor NAD.
type Layer4 struct {
	// FSCI says how long a frame the card takes, CRC_A included (FSC): 0 to 8 are 16, 24,
	// 32, 40, 48, 64, 96, 128 and 256 bytes, 9 to 12 are 512 to 4096.
	FSCI byte
	// FWI says how long the card may take for an answer: FrameWaiting(FWI).
	FWI byte
	// SFGI says how long the card needs after its ATS before it hears the next frame:
	// StartupGuard(SFGI).
	SFGI byte
	// TA is the interface byte of the bit rates: 80 is 106 kbit/s alone, but the same in
	// both directions.
	TA byte
	// TC is the interface byte of what a block may carry: 02 a CID, 01 a NAD.
	TC byte
	// Historical are the historical bytes at the ATS's end.
	Historical []byte

	// NoTA, NoTB and NoTC leave an interface byte out of the ATS, so that its default
	// holds (ISO/IEC 14443-4, 5.2): 106 kbit/s; FWI 4 and SFGI 0; a CID but no NAD.
	NoTA, NoTB, NoTC bool
	// NoT0 leaves out everything but the length: FSC is 32 then, and all defaults hold.
	NoT0 bool
	// RawATS is sent in place of the ATS that the fields above make, without CRC_A, where
	// it is not nil. The card acts by the fields all the same.
	RawATS []byte

	// Latency is how long the card takes for the least answer.
	Latency time.Duration
	// Chunk is the most bytes of an answer that the card puts into one block; 0 is as many
	// as the reader's frame size lets it.
	Chunk int
	// EndlessChain has each block of an answer say that another one follows.
	EndlessChain bool

	// WTX are the S(WTX) that the card sends in a row before each answer, each given by
	// its INF byte: the power level in the upper two bits, WTXM in the others.
	// WTXInChain are those before each further block of a chained answer, WTXInCommand
	// those before it acknowledges a block of a chained command.
	WTX, WTXInChain, WTXInCommand []byte
	// WTXAfter is how long the card waits before it sends one of those.
	WTXAfter time.Duration
	// Multiplier is the WTXM with which the card asks for time by itself, where its applet
	// needs more than it has; 0 is as much as it needs.
	Multiplier byte
}

// Bits of the interface byte TC.
const (
	tcNAD = 0x01
	tcCID = 0x02
)

// DESFire is the protocol of a MIFARE DESFire EV1 as it was seen: ATS 06 75 77 81 02 80,
// that is FSC 64, FWI 8 (77 ms), SFGI 1.
func DESFire() Layer4 {
	return Layer4{FSCI: 5, FWI: 8, SFGI: 1, TA: 0x77, TC: tcCID, Historical: []byte{0x80}, Latency: 340 * time.Microsecond}
}

// NTAG424 is the protocol of an NTAG 424 DNA as it was seen: ATS 06 77 77 71 02 80, that
// is FSC 128, FWI 7 (39 ms), SFGI 1.
func NTAG424() Layer4 {
	p := DESFire()
	p.FSCI, p.FWI = 7, 7
	return p
}

// JavaCard is the protocol of a Java Card: FSC 256, FWI 7 (39 ms), historical bytes that
// name the product, and one frame waiting time for each S(WTX), several in a row.
func JavaCard() Layer4 {
	return Layer4{
		FSCI: 8, FWI: 7, SFGI: 1, TA: 0x77, TC: tcCID, Historical: []byte("JCOP4"),
		Latency: 500 * time.Microsecond, Multiplier: 1,
	}
}

// ATS is the answer to select that the card sends, without CRC_A (ISO/IEC 14443-4, 5.2).
func (p Layer4) ATS() []byte {
	if p.RawATS != nil {
		return p.RawATS
	}
	if p.NoT0 {
		return []byte{1}
	}
	t0, ats := p.FSCI, []byte{0, 0}
	for i, b := range []struct {
		absent bool
		value  byte
	}{{p.NoTA, p.TA}, {p.NoTB, p.FWI<<4 | p.SFGI}, {p.NoTC, p.TC}} {
		if !b.absent {
			t0 |= 0x10 << i
			ats = append(ats, b.value)
		}
	}
	ats = append(ats, p.Historical...)
	ats[0], ats[1] = byte(len(ats)), t0
	return ats
}

// announced is p with the defaults in place of what its ATS leaves out.
func (p Layer4) announced() Layer4 {
	if p.NoT0 {
		p.FSCI, p.NoTA, p.NoTB, p.NoTC = 2, true, true, true
	}
	if p.NoTA {
		p.TA = 0
	}
	if p.NoTB {
		p.FWI, p.SFGI = 4, 0
	}
	if p.NoTC {
		p.TC = tcCID
	}
	return p
}

// frameSize is FSC or FSD of FSCI or FSDI (ISO/IEC 14443-4, 5.1); reserved values are the
// largest.
func frameSize(index byte) int {
	return [16]int{16, 24, 32, 40, 48, 64, 96, 128, 256, 512, 1024, 2048, 4096, 4096, 4096, 4096}[index&0x0F]
}

// FrameWaiting is the frame waiting time (FWT): how long a card may take from the end of
// a frame to the beginning of its answer (ISO/IEC 14443-4, 7.2). The reserved FWI 15 is
// as 4.
func FrameWaiting(fwi byte) time.Duration {
	if fwi > 14 {
		fwi = 4
	}
	return carrier(4096 << fwi)
}

// StartupGuard is the startup frame guard time (SFGT) without its tolerance: from the
// end of the ATS the card hears nothing so long (ISO/IEC 14443-4, 5.2.5). SFGI 0 and the
// reserved 15 are none.
func StartupGuard(sfgi byte) time.Duration {
	if sfgi == 0 || sfgi > 14 {
		return 0
	}
	return carrier(4096 << sfgi)
}

// carrier is how long so many cycles of the 13.56 MHz carrier last.
func carrier(cycles int64) time.Duration {
	return time.Duration(cycles * 100_000 / 1356)
}

// etu is the length of a bit at 106 kbit/s in cycles, frameDelay the shortest pause
// between the reader's last bit and the card's first (ISO/IEC 14443-3, "frame delay
// time", n = 9, after a 0).
const (
	etu        = 128
	frameDelay = 1172
)

// readerFrame and cardFrame are how long a frame of so many bits lasts, with parity,
// start and end of communication.
func readerFrame(bits int) time.Duration { return carrier(int64(1+bits+bits/8+2) * etu) }

func cardFrame(bits int) time.Duration { return carrier(int64(1+bits+bits/8+1) * etu) }
