package cardtest_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// program is an applet that answers from a table and echoes what is not in it with 9000.
type program struct {
	answers  map[string]string
	delay    time.Duration
	commands []string
	resets   int
}

func (p *program) Reset() { p.resets++ }

func (p *program) Command(apdu []byte) ([]byte, time.Duration) {
	text := strings.ToUpper(hex.EncodeToString(apdu))
	p.commands = append(p.commands, text)
	if a, known := p.answers[text]; known {
		return unhex(a), p.delay
	}
	return append(bytes.Clone(apdu), 0x90, 0x00), p.delay
}

// session is a reader that has selected a card, and sends blocks to it. It waits 10 ms
// before each frame, and as long as FWT where the card was silent.
type session struct {
	*reader
	card    *cardtest.Card
	program *program
	fwt     time.Duration
	delay   time.Duration // of the last answer
}

func newSession(t *testing.T, l cardtest.Layer4) *session {
	t.Helper()
	s := &session{card: mustCard(t, "C5CC358A", card.ISO14443_4), program: &program{}, fwt: 5 * time.Second}
	s.card.SetApplet(s.program, l)
	s.reader = newReader(s.card)
	s.selectCard(t)
	return s
}

func (s *session) selectCard(t *testing.T) {
	t.Helper()
	if got := s.say("52/7") + s.say("93 70 C5CC358AB6+"); got != "040320FC70" {
		t.Fatalf("the card is selected with %s", got)
	}
}

// block sends a frame with its checksum, and returns the answer without it: "" is
// silence, "?" one with a wrong checksum or wrong parity.
func (s *session) block(frame string) string {
	b := cardtest.AppendCRC(unhex(frame))
	s.now = s.now.Add(time.Duration(len(b)) * 100 * time.Microsecond)
	a := s.send(b, 8*len(b))
	s.delay = a.Delay
	n := len(a.Bytes)
	s.now = s.now.Add(a.Delay + time.Duration(n)*100*time.Microsecond)
	switch {
	case a.Bits == 0:
		s.now = s.now.Add(s.fwt)
		return ""
	case a.BadParity || n < 3 || !bytes.Equal(cardtest.AppendCRC(bytes.Clone(a.Bytes[:n-2])), a.Bytes):
		return "?"
	}
	return strings.ToUpper(hex.EncodeToString(a.Bytes[:n-2]))
}

// talk holds the card against lines of a frame and its answer.
func (s *session) talk(t *testing.T, lines ...[2]string) {
	t.Helper()
	for i, line := range lines {
		if got, want := s.block(line[0]), strings.ReplaceAll(line[1], " ", ""); got != want {
			t.Fatalf("line %d, %s: %s, want %s", i, line[0], got, want)
		}
	}
}

func (s *session) obeys(t *testing.T) {
	t.Helper()
	for _, v := range s.card.Violations() {
		t.Errorf("violation: %s", v)
	}
}

func (s *session) executed(t *testing.T, want int) {
	t.Helper()
	if got := s.card.Executed(); got != want || got != len(s.program.commands) {
		t.Errorf("%d commands were executed, want %d", got, want)
	}
}

// TestBlockChecksums are CRC_A of blocks as they were computed by hand.
func TestBlockChecksums(t *testing.T) {
	for data, want := range map[string]string{
		"E050": "BCA5", "E080": "3173", "067577810280": "02F0", "067777710280": "BE6A", "D01100": "52A6",
		"D0": "7387", "B2": "67C7", "B3": "EED6", "A2": "E6D7", "A3": "6FC6", "C2": "E0B4", "F201": "9140",
		"F202": "0A72", "F23B": "48DE", "BA00": "BED9", "CA00": "7A29", "0A00": "D0E3",
		"02905A00000301000000": "DA34", "029100": "2910", "03B9FC6CCAE153125C7C17E6906433C0F491AF": "F4A2",
		"1290AF0000200001020304050607": "D511", "1308090A0B0C0D0E0F1011121314": "69B3",
		"0215161718191A1B1C1D1E1F00": "AB63",
	} {
		b := unhex(data)
		if got := strings.ToUpper(hex.EncodeToString(cardtest.AppendCRC(b)[len(b):])); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

// select905A and authenticate are the first commands to a DESFire, and what one answered.
const (
	select905A   = "905A00000301000000"
	authenticate = "9071000002000000"
	challenge    = "B9FC6CCAE153125C7C17E6906433C0F491AF"
)

// TestSessions holds a card against transcripts of ISO/IEC 14443-4.
func TestSessions(t *testing.T) { //nolint:funlen // a table of cases
	ntag := cardtest.NTAG424()
	with := func(change func(l *cardtest.Layer4)) cardtest.Layer4 {
		l := ntag
		change(&l)
		return l
	}
	for _, tt := range []struct {
		name     string
		layer4   cardtest.Layer4
		lines    [][2]string
		executed int
	}{
		{"a command and another one", ntag, [][2]string{
			{"E050", "067777710280"},
			{"02" + select905A, "02 9100"},
			{"03" + authenticate, "03" + challenge},
			{"C2", "C2"},
		}, 2},
		{"a lost block", ntag, [][2]string{
			{"E050", "067777710280"},
			{"B2", "A3"},
			{"B2", "A3"},
			{"02" + select905A, "02 9100"},
		}, 1},
		{"a lost answer", ntag, [][2]string{
			{"E050", "067777710280"},
			{"02" + select905A, "02 9100"},
			{"B2", "02 9100"},
			{"B2", "02 9100"},
			{"03" + authenticate, "03" + challenge},
		}, 2},
		{"presence", ntag, [][2]string{
			{"E050", "067777710280"},
			{"02" + select905A, "02 9100"},
			{"B3", "A2"},
			{"B3", "A2"},
			{"03" + authenticate, "03" + challenge},
			{"B2", "A3"},
		}, 2},
		{"a chain to the card", with(func(l *cardtest.Layer4) { l.FSCI = 0 }), [][2]string{
			{"E050", "067077710280"},
			{"1290AF0000200001020304050607", "A2"},
			{"B2", "A2"}, // the acknowledgement was lost
			{"1308090A0B0C0D0E0F1011121314", "A3"},
			{"0215161718191A1B1C1D1E1F00", "02 9100"},
		}, 1},
		{"a chain from the card", ntag, [][2]string{
			{"E020", "067777710280"}, // FSD 32
			{"02 00", "12 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D"},
			{"B2", "12 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D"},
			{"A3", "03 1E1F209000"},
			{"A3", "03 1E1F209000"},
			{"B2", "A3"},
		}, 1},
		{"an extension", with(func(l *cardtest.Layer4) { l.WTX = []byte{2} }), [][2]string{
			{"E050", "067777710280"},
			{"02" + select905A, "F202"},
			{"F202", "02 9100"},
			{"03" + authenticate, "F202"},
			{"F202", "03" + challenge},
		}, 2},
		{"an extension whose response is lost", with(func(l *cardtest.Layer4) { l.WTX = []byte{1} }), [][2]string{
			{"E050", "067777710280"},
			{"02" + select905A, "F201"},
			{"B2", "F201"},
			{"F201", "02 9100"},
			{"B2", "02 9100"},
		}, 1},
		{"five extensions in a row, with power levels", with(func(l *cardtest.Layer4) { l.WTX = []byte{1, 0x41, 0x81, 0xC1, 59} }), [][2]string{
			{"E050", "067777710280"},
			{"02" + select905A, "F201"},
			{"F201", "F241"},
			{"F201", "F281"},
			{"F201", "F2C1"},
			{"F201", "F23B"},
			{"F23B", "02 9100"},
		}, 1},
		{"extensions inside chains", with(func(l *cardtest.Layer4) { l.WTXInChain, l.WTXInCommand, l.Chunk = []byte{3}, []byte{4, 5}, 1 }), [][2]string{
			{"E050", "067777710280"},
			{"12 905A000003", "F204"},
			{"F204", "F205"},
			{"F205", "A2"},
			{"03 01000000", "13 91"},
			{"A2", "F203"},
			{"F203", "02 00"},
		}, 1},
		{"CID 0, as readers on the air have it", ntag, [][2]string{
			{"E050", "067777710280"},
			{"BA00", "AB00"},
			{"0A00" + select905A, "0A00 9100"},
			{"CA00", "CA00"},
		}, 1},
		{"another CID", ntag, [][2]string{
			{"E053", "067777710280"},
			{"02" + select905A, ""},
			{"0A04" + select905A, ""},
			{"0A03" + select905A, "0A03 9100"},
			{"CA03", "CA03"},
		}, 1},
		{"PPS that changes nothing", ntag, [][2]string{
			{"E050", "067777710280"},
			{"D01100", "D0"},
			{"02" + select905A, "02 9100"},
		}, 1},
		{"S(PARAMETERS) is met with silence", ntag, [][2]string{
			{"E050", "067777710280"},
			{"F0A0", ""},
			{"02" + select905A, "02 9100"},
		}, 1},
		{"a presence check by an empty block", with(func(l *cardtest.Layer4) { l.Chunk = 1 }), [][2]string{
			{"E050", "067777710280"},
			{"02", "12 90"}, // the program answers 9000
			{"A3", "03 00"},
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession(t, tt.layer4)
			s.program.answers = map[string]string{
				select905A: "9100", authenticate: challenge,
				"90AF000020000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F00": "9100",
				"00": "0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F209000",
			}
			s.talk(t, tt.lines...)
			s.executed(t, tt.executed)
			s.obeys(t)
		})
	}
}

// TestATS: what is announced, and the frame size that goes with it.
func TestATS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layer4 cardtest.Layer4
		want   string
		fsc    int
	}{
		{"DESFire", cardtest.DESFire(), "067577810280", 64},
		{"NTAG 424", cardtest.NTAG424(), "067777710280", 128},
		{"Java Card", cardtest.JavaCard(), "0A78777102 4A434F5034", 256},
		{"nothing but T0", cardtest.Layer4{FSCI: 3, NoTA: true, NoTB: true, NoTC: true}, "0203", 40},
		{"no TB", cardtest.Layer4{TA: 0x80, TC: 2, NoTB: true}, "04508002", 16},
		{"length alone", cardtest.Layer4{FSCI: 8, NoT0: true, Historical: []byte{1}}, "01", 32},
		{"a length that is too long", cardtest.Layer4{FSCI: 1, RawATS: []byte{0x20, 0x01}}, "2001", 24},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession(t, tt.layer4)
			s.talk(t, [2]string{"E080", tt.want})
			if got := s.card.ATS(); !bytes.Equal(got, unhex(tt.want)) {
				t.Errorf("ATS % X", got)
			}
			fits := strings.Repeat("5A", tt.fsc-3)
			if tt.fsc < 256 {
				s.talk(t, [2]string{"02" + fits, "02" + fits + "9000"})
			} else { // the answer is longer than FSD by the status bytes
				s.talk(t, [2]string{"02" + fits, "12" + fits}, [2]string{"A3", "03 9000"})
			}
			s.obeys(t)
			s.talk(t, [2]string{"03" + fits + "5A", ""})
			if len(s.card.Violations()) != 1 {
				t.Errorf("violations %q", s.card.Violations())
			}
		})
	}
}

// TestViolations: the card tells what a reader does wrong, and does not act on it.
func TestViolations(t *testing.T) {
	l := cardtest.DESFire()
	extending := l
	extending.WTX = []byte{0x42}
	bad := l
	bad.WTX = []byte{60}
	without := l
	without.TC = 0
	for _, tt := range []struct {
		name   string
		layer4 cardtest.Layer4
		lines  [][2]string
		want   string // part of the one violation
	}{
		{"RATS twice", l, [][2]string{{"E050", "067577810280"}, {"E050", ""}}, "RATS twice"},
		{"PPS after a block", l, [][2]string{{"E050", "067577810280"}, {"02 00", "02 009000"}, {"D01100", ""}}, "PPS after"},
		{"PPS twice", l, [][2]string{{"E050", "067577810280"}, {"D01100", "D0"}, {"D01100", ""}}, "PPS after"},
		{"PPS for 848 kbit/s both ways", cardtest.Layer4{FSCI: 5, TA: 0x80}, [][2]string{{"E050", "0575800000"}, {"D0110F", ""}}, "bit rate"},
		{"a CID", without, [][2]string{{"E050", "067577810080"}, {"0A00 00", ""}}, "CID"},
		{"a NAD", l, [][2]string{{"E050", "067577810280"}, {"0600 00", ""}}, "NAD"},
		{"a power level in the response to S(WTX)", extending, [][2]string{{"E050", "067577810280"}, {"02 00", "F242"}, {"F242", ""}}, "responded to with 42"},
		{"another WTXM", extending, [][2]string{{"E050", "067577810280"}, {"02 00", "F242"}, {"F201", ""}}, "responded to with 01"},
		{"a response to a WTXM that is none", bad, [][2]string{{"E050", "067577810280"}, {"02 00", "F23C"}, {"F23C", ""}}, "WTXM 60"},
		{"a response to no S(WTX)", l, [][2]string{{"E050", "067577810280"}, {"F201", ""}}, "nobody asked"},
		{"a command in place of that response", extending, [][2]string{{"E050", "067577810280"}, {"02 00", "F242"}, {"03 00", ""}}, "was due"},
		{"the same block again", l, [][2]string{{"E050", "067577810280"}, {"02 00", "02 009000"}, {"02 00", "03 009000"}}, "second time"},
		{"R(ACK) where nothing is chained", l, [][2]string{{"E050", "067577810280"}, {"02 00", "02 009000"}, {"A3", ""}}, "no further block"},
		{"RATS with CID 15", l, [][2]string{{"E05F", ""}}, "CID 15"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession(t, tt.layer4)
			s.talk(t, tt.lines...)
			if v := s.card.Violations(); len(v) != 1 || !strings.Contains(v[0], tt.want) {
				t.Errorf("violations %q", v)
			}
		})
	}
}

// TestWakeUpInASession is what a reader does that polls on while it talks to a card.
func TestWakeUpInASession(t *testing.T) {
	s := newSession(t, cardtest.DESFire())
	s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00", "02 009000"})
	if got := s.say("52/7"); got != "" {
		t.Errorf("it answers WUPA with %s", got)
	}
	if v := s.card.Violations(); len(v) != 1 || !strings.Contains(v[0], "S(DESELECT)") {
		t.Errorf("violations %q", v)
	}
}

// TestReset: the applet forgets what it knew at S(DESELECT), without power, and when the
// card is selected anew.
func TestReset(t *testing.T) {
	s := newSession(t, cardtest.DESFire())
	s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00", "02 009000"})
	before := s.program.resets
	s.talk(t, [2]string{"C2", "C2"})
	if s.program.resets != before+1 || s.card.State() != cardtest.Halt {
		t.Errorf("%d resets, %s", s.program.resets-before, s.card.State())
	}
	s.selectCard(t)
	s.talk(t, [2]string{"E050", "067577810280"}, [2]string{"02 00", "02 009000"}) // from 0 on
	before = s.program.resets
	s.field.SetRF(false, s.now)
	if s.program.resets != before+1 {
		t.Error("it remembers without power")
	}
	s.field.SetRF(true, s.now)
	s.selectCard(t)
	s.talk(t, [2]string{"E050", "067577810280"})
	before = s.program.resets
	s.field.Remove(s.card)
	if s.program.resets != before+1 {
		t.Error("it remembers out of the field")
	}
	s.obeys(t)
}
