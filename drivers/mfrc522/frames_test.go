package mfrc522

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func withCRC(b ...byte) []byte {
	lo, hi := crcA(b)
	return append(b, lo, hi)
}

// single answers as a single card does that knows no states: it is always
// ready. levels holds the four bytes of each cascade level.
func single(levels [][]byte, sak byte) func(frame []byte, lastBits byte) *reply {
	return func(frame []byte, lastBits byte) *reply {
		if lastBits == 7 {
			return &reply{data: []byte{byte(len(levels)-1)<<6 | 0x04, 0x00}}
		}
		for i, part := range levels {
			if len(frame) < 2 || frame[0] != selCommand(i) {
				continue
			}
			if frame[1] == 0x20 {
				return &reply{data: append(slices.Clone(part), bcc(part))}
			}
			if frame[1] == nvbSelect && bytes.Equal(frame[2:6], part) {
				if i < len(levels)-1 {
					return &reply{data: withCRC(sakCascade)}
				}
				return &reply{data: withCRC(sak)}
			}
		}
		return nil
	}
}

// open makes a reader on a script.
func open(t *testing.T, s *script) *Reader {
	t.Helper()
	r, err := New(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCRCA(t *testing.T) {
	for in, want := range map[string]string{
		"0000": "A01E", "1234": "26CF", "E050": "BCA5", "08": "B6DD", "20": "FC70", "5000": "57CD",
		"93708805 82C7C8": "0C13", "9570204CA100CD": "A128",
	} {
		lo, hi := crcA(unhex(t, string(bytes.ReplaceAll([]byte(in), []byte(" "), nil))))
		if got := hex.EncodeToString([]byte{lo, hi}); got != hex.EncodeToString(unhex(t, want)) {
			t.Errorf("CRC_A of %s is %s, want %s", in, got, want)
		}
	}
}

// The second cascade level of other drivers was never selected; this is every
// frame of a seven-byte card's way, as the standard and a protocol analyser
// have it.
func TestFramesOfASevenByteCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, nil)
		seven := single([][]byte{unhex(t, "880582C7"), unhex(t, "204CA100")}, 0x20)
		s.reply = func(frame []byte, lastBits byte) *reply {
			if len(frame) == 2 && s.regs[regColl]&0x80 != 0 {
				t.Errorf("anticollision % X with ValuesAfterColl set", frame)
			}
			return seven(frame, lastBits)
		}
		seen, err := open(t, s).Poll(t.Context())
		if err != nil || len(seen) != 1 {
			t.Fatalf("saw %v, %v", seen, err)
		}
		if c := seen[0]; c.UID.String() != "0582C7204CA100" || c.SAK != 0x20 || c.ATQA != [2]byte{0x44, 0x00} {
			t.Errorf("saw %+v", c)
		}
		var got []string
		for _, f := range s.frames {
			got = append(got, hex.EncodeToString(f))
		}
		want := []string{"52", "9320", "93708805" + "82c7c80c13", "9520", "9570204ca100cda128", "500057cd", "26"}
		// The scripted card has no HALT: REQA finds it once more, which ends the scan.
		if !slices.Equal(got[:len(want)], want) {
			t.Errorf("sent %v,\nwant %v", got, want)
		}
	})
}

// Drivers that decide by the first byte take a four-byte UID that begins with
// 88 for the first part of a longer one. The SAK decides.
func TestFourByteUIDThatBeginsWith88(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, single([][]byte{unhex(t, "88112233")}, 0x08))
		seen, err := open(t, s).Poll(t.Context())
		if err != nil || len(seen) != 1 || seen[0].UID.String() != "88112233" {
			t.Fatalf("saw %v, %v", seen, err)
		}
	})
}

// Wrong answers, one by one: none of them may become a card, and none is the
// reader's fault.
func TestWrongAnswersAreNoCards(t *testing.T) {
	four := [][]byte{unhex(t, "DEADBEEF")}
	seven := [][]byte{unhex(t, "88ADBEEF"), unhex(t, "01020304")}
	ten := [][]byte{unhex(t, "88ADBEEF"), unhex(t, "88020304"), unhex(t, "05060708")}
	untagged := [][]byte{unhex(t, "DEADBEEF"), unhex(t, "01020304")}
	isRequest := func(f []byte) bool { return len(f) == 1 }
	isAnticoll := func(f []byte) bool { return len(f) == 2 }
	isSelect := func(f []byte) bool { return len(f) == 9 }
	always := func(b ...byte) func(*reply) { return func(a *reply) { a.data = b } }
	for name, c := range map[string]struct {
		card   [][]byte
		when   func(frame []byte) bool
		change func(*reply)
	}{
		"ATQA of one byte":                 {four, isRequest, always(0x44)},
		"ATQA of three bytes":              {four, isRequest, always(0x44, 0, 0)},
		"ATQA of 15 bits":                  {four, isRequest, func(a *reply) { a.lastBits = 7 }},
		"BCC wrong":                        {four, isAnticoll, func(a *reply) { a.data[4] ^= 0x10 }},
		"UID bit flipped":                  {four, isAnticoll, func(a *reply) { a.data[0] ^= 0x01 }},
		"UID too short":                    {four, isAnticoll, func(a *reply) { a.data = a.data[:4] }},
		"UID too long":                     {four, isAnticoll, func(a *reply) { a.data = append(a.data, 0) }},
		"UID with bits missing":            {four, isAnticoll, func(a *reply) { a.lastBits = 5 }},
		"UID of nothing":                   {four, isAnticoll, func(a *reply) { a.data = nil }},
		"UID of 64 bytes":                  {four, isAnticoll, func(a *reply) { a.data = make([]byte, 64) }},
		"SAK without CRC":                  {four, isSelect, func(a *reply) { a.data = a.data[:1] }},
		"SAK with half a CRC":              {four, isSelect, func(a *reply) { a.data = a.data[:2] }},
		"SAK with bits missing":            {four, isSelect, func(a *reply) { a.lastBits = 4 }},
		"SAK too long":                     {four, isSelect, func(a *reply) { a.data = append(a.data, 0) }},
		"SAK with a wrong CRC":             {four, isSelect, func(a *reply) { a.data[2] ^= 0x80 }},
		"SAK bit flipped":                  {four, isSelect, func(a *reply) { a.data[0] ^= 0x20 }},
		"SAK collided":                     {four, isSelect, func(a *reply) { a.errors, a.coll = errorColl, 3 }},
		"another level without a tag":      {untagged, func([]byte) bool { return false }, nil},
		"a fourth level":                   {ten, isSelect, always(withCRC(sakCascade)...)},
		"second level's BCC wrong":         {seven, func(f []byte) bool { return isAnticoll(f) && f[0] == 0x95 }, func(a *reply) { a.data[4] ^= 1 }},
		"second level's SAK wrong":         {seven, func(f []byte) bool { return isSelect(f) && f[0] == 0x95 }, func(a *reply) { a.data[1] ^= 1 }},
		"collision at an unknown position": {four, isAnticoll, func(a *reply) { a.errors, a.coll = errorColl, collNotValid|5 }},
		"collision in the BCC":             {four, isAnticoll, func(a *reply) { a.errors, a.coll = errorColl, 33&collPos }},
		"parity error in the ATQA":         {four, isRequest, func(a *reply) { a.errors = errorParity }},
		"parity error in the UID":          {four, isAnticoll, func(a *reply) { a.errors = errorParity }},
		"parity error in the SAK":          {four, isSelect, func(a *reply) { a.errors = errorParity }},
		"protocol error in the UID":        {four, isAnticoll, func(a *reply) { a.errors = errorProtocol }},
		"protocol error in the SAK":        {four, isSelect, func(a *reply) { a.errors = errorProtocol }},
		"buffer overflow":                  {four, isSelect, func(a *reply) { a.errors = errorOverflow }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sound := single(c.card, 0x08)
				broken := true
				s := newScript(t, func(frame []byte, lastBits byte) *reply {
					a := sound(frame, lastBits)
					if a != nil && broken && c.when(frame) {
						c.change(a)
					}
					return a
				})
				r := open(t, s)
				start := time.Now()
				seen, err := r.Poll(t.Context())
				if err != nil || len(seen) != 0 {
					t.Fatalf("saw %v, %v", seen, err)
				}
				if took := time.Since(start); took > 2*scanTime {
					t.Errorf("the scan took %v", took)
				}
				broken = false
				if c.change == nil {
					return
				}
				if seen, err = r.Poll(t.Context()); err != nil || len(seen) != 1 {
					t.Errorf("the sound card: saw %v, %v", seen, err)
				}
			})
		})
	}
}

// One bad frame in an exchange is tried again within the scan.
func TestOneBadFrameIsRetried(t *testing.T) {
	sound := single([][]byte{unhex(t, "88ADBEEF"), unhex(t, "01020304")}, 0x08)
	for bad := range 5 {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			s := newScript(t, func(frame []byte, lastBits byte) *reply {
				a := sound(frame, lastBits)
				if n++; n == bad+1 {
					a.errors = errorParity
				}
				return a
			})
			if seen, err := open(t, s).Poll(t.Context()); err != nil || len(seen) != 1 {
				t.Errorf("frame %d bad: saw %v, %v", bad, seen, err)
			}
		})
	}
}

// A chip error that comes back as a nil error is a card that never was.
func TestChipErrorsAreErrors(t *testing.T) {
	for bits, want := range map[byte]error{
		errorOverflow: errFrame, errorParity: errFrame, errorProtocol: errFrame,
		errorParity | errorProtocol: errFrame, errorColl | errorProtocol: errFrame, errorTemp: errStuck,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t, func([]byte, byte) *reply { return &reply{data: []byte{4, 0}, errors: bits} })
			c := chip{conn: s}
			if _, err := c.transceive(exchange{frame: []byte{cmdWUPA}, lastBits: 7, want: 2, timeout: answerTimeout}); !errors.Is(err, want) {
				t.Errorf("error register %02X: %v, want %v", bits, err, want)
			}
		})
	}
}

// A chip that never finishes holds a scan up for a bounded time, however many
// questions that takes, and without asking all the time.
func TestStuckChipIsBoundedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func([]byte, byte) *reply { return &reply{stuck: true} })
		r := open(t, s)
		start, transfers := time.Now(), s.transfers
		seen, err := r.Poll(t.Context())
		if !errors.Is(err, card.ErrDeaf) || seen != nil {
			t.Fatalf("saw %v, %v, want deaf", seen, err)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("the scan took %v", took)
		}
		if n := s.transfers - transfers; n > 120 {
			t.Errorf("%d transfers in one scan", n)
		}
		s.reply = single([][]byte{unhex(t, "DEADBEEF")}, 0x08)
		if seen, err = r.Poll(t.Context()); err != nil || len(seen) != 1 {
			t.Errorf("when it works again: saw %v, %v", seen, err)
		}
	})
}

// A chip whose FIFO level or error register cannot be true is asked once more
// after a reset, and then called deaf, not believed.
func TestImpossibleFIFOLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func([]byte, byte) *reply { return &reply{data: make([]byte, 100)} })
		if seen, err := open(t, s).Poll(t.Context()); !errors.Is(err, card.ErrDeaf) {
			t.Errorf("saw %v, %v, want deaf", seen, err)
		}
	})
}

func TestCountingsOfACollision(t *testing.T) {
	for _, c := range []struct {
		collPos, known   int
		byFrame, byLevel int
	}{
		{1, 0, 1, 1},
		{32, 0, 32, 32},
		{5, 4, 5, 5},
		{4, 4, 0, 0}, // no progress
		{1, 7, 0, 0},
		{1, 8, 9, 0},
		{8, 8, 16, 0},
		{12, 9, 20, 12}, // both are possible
		{25, 8, 0, 25},  // behind the end, so it is counted from the level's start
		{17, 16, 0, 17},
		{16, 16, 32, 0},
		{8, 31, 32, 0},
		{32, 31, 0, 32},
		{0, 0, 0, 0}, // not valid
	} {
		if got := fromFrame.position(c.collPos, c.known); c.collPos != 0 && got != c.byFrame {
			t.Errorf("%+v: by frame %d", c, got)
		}
		if got := fromLevel.position(c.collPos, c.known); c.collPos != 0 && got != c.byLevel {
			t.Errorf("%+v: by level %d", c, got)
		}
	}
}

func TestPathOfUID(t *testing.T) {
	for in, want := range map[string]string{
		"DEADBEEF": "DEADBEEF", "04A1B2C3D4E5F6": "8804A1B2C3D4E5F6", "0102030405060708090A": "88010203880405060708090A",
	} {
		uid, err := card.ParseUID(in)
		if err != nil {
			t.Fatal(err)
		}
		p := pathOf(uid)
		if got := p.bytes[:p.bits/8]; !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%s: %X, want %s", in, got, want)
		}
	}
}

// confirming watches the air for UIDs that a SELECT has confirmed, from the
// frames alone.
type confirming struct {
	id        []byte
	confirmed map[card.UID]bool
}

func (c *confirming) saw(frame []byte, lastBits byte, a *reply) {
	if lastBits != 0 || len(frame) != 9 || frame[1] != nvbSelect {
		if lastBits == 7 {
			c.id = nil
		}
		return
	}
	if frame[0] == selCommand(0) {
		c.id = nil
	}
	if a == nil || a.stuck || a.lastBits != 0 || len(a.data) != 3 {
		return
	}
	// CRCErr says nothing here: the chip checks no CRC (RxCRCEn is 0), the driver does.
	const errorCRC = 0x04
	errs := a.errors &^ errorCRC
	if errs&^errorParity == errorColl && frame[0] != selCommand(2) && frame[2] == cascadeTag {
		// Several SAKs at once, at a level that is not the last. What the next
		// level confirms has taken this one's bytes for its own.
		c.id = append(c.id, frame[3:6]...)
		return
	}
	if errs != 0 {
		return
	}
	if lo, hi := crcA(a.data[:1]); a.data[1] != lo || a.data[2] != hi {
		return
	}
	if a.data[0]&sakCascade != 0 {
		c.id = append(c.id, frame[3:6]...)
		return
	}
	if uid, err := card.NewUID(append(slices.Clone(c.id), frame[2:6]...)); err == nil {
		c.confirmed[uid] = true
	}
}

// FuzzAnswers feeds arbitrary answers to the driver. Each answer in the input
// is a head (what to do, how many bytes), the error, last bits and collision
// registers, and the bytes. Whatever they are, a scan ends in bounded time and
// reports no UID without a SELECT that confirmed it.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			sound := single([][]byte{{0x88, 1, 2, 3}, {4, 5, 6, 7}}, 0x08)
			air := confirming{confirmed: make(map[card.UID]bool)}
			s := newScript(t, func(frame []byte, lastBits byte) *reply {
				a := fuzzed(&in, sound(frame, lastBits))
				air.saw(frame, lastBits, a)
				return a
			})
			r := open(t, s)
			for range 3 {
				start := time.Now()
				seen, err := r.Poll(t.Context())
				if took := time.Since(start); took > time.Second {
					t.Errorf("the scan took %v", took)
				}
				if err != nil && !errors.Is(err, card.ErrDeaf) && !errors.Is(err, card.ErrBusDead) {
					t.Errorf("error %v", err)
				}
				for _, c := range seen {
					if !air.confirmed[c.UID] {
						t.Errorf("reported %v, which no SELECT confirmed", c.UID)
					}
				}
			}
		})
	})
}

// fuzzed takes the next answer from the input; sound is what a sound card says.
func fuzzed(in *[]byte, sound *reply) *reply {
	take := func() byte {
		if len(*in) == 0 {
			return 0
		}
		b := (*in)[0]
		*in = (*in)[1:]
		return b
	}
	head := take()
	n := int(head >> 3 & 0x0F)
	switch head & 7 {
	case 0, 1:
		return sound
	case 2:
		return nil
	case 3:
		return &reply{stuck: true}
	case 4: // a right CRC over anything
		return &reply{data: withCRC(take())}
	case 5: // a right BCC over anything
		part := []byte{take(), take(), take(), take()}
		return &reply{data: append(part, bcc(part))}
	}
	a := &reply{errors: take() & 0x1F, lastBits: take() & 7, coll: take()}
	for range n {
		a.data = append(a.data, take())
	}
	return a
}
