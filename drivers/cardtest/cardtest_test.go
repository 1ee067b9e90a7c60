package cardtest_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// reader is the simplest thing that can talk to a field. Each frame comes
// 10 ms after the last, so that every card has started up. Its clock is its own
// and falls behind the wall clock where the machine is busy; so cards that are
// to answer lie there before the field comes on, from when they count by it.
type reader struct {
	field *cardtest.Field
	now   time.Time
}

func newReader(cards ...*cardtest.Card) *reader {
	r := &reader{cardtest.NewField(), time.Now()}
	r.field.Put(cards...)
	r.field.SetRF(true, r.now)
	return r
}

func (r *reader) send(b []byte, bits int) cardtest.Answer {
	r.now = r.now.Add(10 * time.Millisecond)
	return r.field.Exchange(r.now, cardtest.Frame{Bytes: b, Bits: bits})
}

// say sends a frame in hex: "26/7" is a short frame, "93 20" is sent as it is,
// and "5000+" gets its checksum. It returns the answer in hex, "" for silence.
func (r *reader) say(frame string) string {
	text, bitCount, cut := strings.Cut(frame, "/")
	text, crc := strings.CutSuffix(text, "+")
	b := unhex(text)
	if crc {
		b = cardtest.AppendCRC(b)
	}
	bits := 8 * len(b)
	if cut {
		_, _ = fmt.Sscan(bitCount, &bits)
	}
	a := r.send(b, bits)
	s := strings.ToUpper(hex.EncodeToString(a.Bytes))
	if a.Bits%8 != 0 {
		s += fmt.Sprintf("/%d", a.Bits)
	}
	if a.Collision >= 0 {
		s += fmt.Sprintf("!%d", a.Collision)
	}
	return s
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func mustCard(t testing.TB, uid string, technology card.Technology) *cardtest.Card {
	t.Helper()
	u, err := card.ParseUID(uid)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cardtest.New(u, technology)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCRCAVectors(t *testing.T) {
	for data, want := range map[string]string{
		"0000": "A01E", "1234": "26CF", "E050": "BCA5", "08": "B6DD", "20": "FC70", "5000": "57CD",
		"93708805 82C7C8": "0C13", "9570204CA100CD": "A128",
	} {
		b := unhex(data)
		if got := cardtest.AppendCRC(b)[len(b):]; !bytes.Equal(got, unhex(want)) {
			t.Errorf("%s: %X, want %s", data, got, want)
		}
	}
}

// TestConversations holds a card against ISO/IEC 14443-3: each line is a frame
// and what the card must answer.
func TestConversations(t *testing.T) { //nolint:funlen // a table of cases
	const single, national = "C5CC358A", "0582C7204CA100"
	for _, tt := range []struct {
		name, uid  string
		technology card.Technology
		lines      [][2]string
		state      cardtest.State
	}{
		{"single size", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 20", "C5CC358AB6"}, {"93 70 C5CC358AB6+", "08B6DD"},
		}, cardtest.Active},
		{"double size", national, card.ISO14443_4, [][2]string{
			{"52/7", "4403"},
			{"93 20", "880582C7C8"},
			{"93 70 880582C7C8 0C13", "24D836"},
			{"95 20", "204CA100CD"},
			{"95 70 204CA100CD A128", "20FC70"},
		}, cardtest.Active},
		{"triple size", "0102030405060708090A", card.MifareClassic4K, [][2]string{
			{"26/7", "8200"},
			{"93 20", "8801020388"},
			{"93 70 8801020388+", "04DA17"},
			{"95 20", "880405068F"},
			{"95 70 880405068F+", "04DA17"},
			{"97 20", "0708090A0C"},
			{"97 70 0708090A0C+", "1837CD"},
		}, cardtest.Active},
		{"bits of the UID already known", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"},
			{"93 25 05/21", "66AE51B405/35"},
		}, cardtest.Ready},
		{"HLTA is obeyed in silence", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"},
			{"93 70 C5CC358AB6+", "08B6DD"},
			{"5000+", ""},
			{"26/7", ""},
			{"93 20", ""},
			{"52/7", "0400"},
		}, cardtest.ReadyStar},
		{"out of HALT and back", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"},
			{"93 70 C5CC358AB6+", "08B6DD"},
			{"5000+", ""},
			{"52/7", "0400"},
			{"93 70 C5CC358AB6+", "08B6DD"},
			{"26/7", ""},
			{"26/7", ""},
		}, cardtest.Halt},
		{"a selected card answers neither REQA nor WUPA", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 70 C5CC358AB6+", "08B6DD"}, {"52/7", ""}, {"52/7", "0400"},
		}, cardtest.Ready},
		{"HLTA before the selection halts nobody", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"5000+", ""}, {"26/7", "0400"},
		}, cardtest.Ready},
		{"a second REQA", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"26/7", ""},
		}, cardtest.Idle},
		{"a REQA of 8 bits", single, card.MifareClassic1K, [][2]string{{"26", ""}}, cardtest.Idle},
		{"an unknown short frame", single, card.MifareClassic1K, [][2]string{{"35/7", ""}}, cardtest.Idle},
		{"no request first", single, card.MifareClassic1K, [][2]string{{"93 20", ""}}, cardtest.Idle},
		{"the wrong cascade level", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"95 20", ""},
		}, cardtest.Idle},
		{"another card's bits", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 21 00/17", ""}, {"93 20", ""},
		}, cardtest.Idle},
		{"NVB and length disagree", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 28 05", ""},
		}, cardtest.Idle},
		{"SELECT with a wrong checksum", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 70 C5CC358AB6 0000", ""},
		}, cardtest.Idle},
		{"SELECT with a wrong BCC", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 70 C5CC358AB7+", ""},
		}, cardtest.Idle},
		{"SELECT without a checksum", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 70 C5CC358AB6", ""},
		}, cardtest.Idle},
		{"a clone that begins with 88", "88112233", card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 20", "8811223388"}, {"93 70 8811223388+", "08B6DD"},
		}, cardtest.Active},
		{"RATS and DESELECT", national, card.ISO14443_4, [][2]string{
			{"26/7", "4403"},
			{"93 70 880582C7C8+", "24D836"},
			{"95 70 204CA100CD+", "20FC70"},
			{"E050+", "06757781028002F0"},
			{"52/7", ""},
			{"C2+", "C2E0B4"},
			{"52/7", "4403"},
		}, cardtest.ReadyStar},
		{"RATS to a memory card", single, card.MifareClassic1K, [][2]string{
			{"26/7", "0400"}, {"93 70 C5CC358AB6+", "08B6DD"}, {"E050+", ""},
		}, cardtest.Idle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mustCard(t, tt.uid, tt.technology)
			r := newReader(c)
			for i, line := range tt.lines {
				if got := r.say(line[0]); got != line[1] {
					t.Fatalf("line %d: %s answered with %q, want %q", i, line[0], got, line[1])
				}
			}
			if s := c.State(); s != tt.state {
				t.Errorf("state %s, want %s", s, tt.state)
			}
		})
	}
}

func TestModelsTellTheirTechnology(t *testing.T) {
	for _, technology := range []card.Technology{
		card.MifareUltralight, card.MifareMini, card.MifareClassic1K, card.MifareClassic2K, card.MifareClassic4K,
		card.MifarePlus2K, card.MifarePlus4K, card.ISO14443_4, card.ISO18092, card.Unknown,
	} {
		for i, uid := range []string{"01020304", "01020304050607", "0102030405060708090A"} {
			info := mustCard(t, uid, technology).Info()
			if info.Technology() != technology || info.ATQA[0]>>6 != byte(i) || info.UID.String() != uid {
				t.Errorf("%s with %s: %+v is %s", technology, uid, info, info.Technology())
			}
		}
	}
	if c, err := cardtest.New(card.UID{}, card.MifareClassic1K); err == nil {
		t.Errorf("a card without a UID: %v", c.Info())
	}
	u, _ := card.ParseUID("01020304")
	if _, err := cardtest.New(u, "punched-card"); err == nil {
		t.Error("a punched card")
	}
}

func TestCardsNeedTimeToStart(t *testing.T) {
	slow, quick := mustCard(t, "0582C7204CA100", card.ISO14443_4), mustCard(t, "01020304", card.MifareClassic1K)
	f := cardtest.NewField()
	start := time.Now()
	reqa := func(after time.Duration) int {
		return f.Exchange(start.Add(after), cardtest.Frame{Bytes: []byte{0x52}, Bits: 7}).Bits
	}
	f.Put(slow)
	if reqa(0) != 0 {
		t.Error("an answer without a field")
	}
	f.SetRF(true, start)
	if reqa(4900*time.Microsecond) != 0 {
		t.Error("a processor card answered before it had started")
	}
	if reqa(5*time.Millisecond) != 16 {
		t.Error("no answer after 5 ms")
	}
	f.SetRF(false, start.Add(6*time.Millisecond))
	if s := slow.State(); s != cardtest.Off {
		t.Errorf("%s without a field", s)
	}
	f.SetRF(true, start.Add(7*time.Millisecond))
	if reqa(8*time.Millisecond) != 0 {
		t.Error("it kept running without a field")
	}
	f.Remove(slow)
	f.SetRF(false, start.Add(9*time.Millisecond))
	f.SetRF(true, start.Add(10*time.Millisecond))
	quick.SetStartup(time.Minute)
	f.Put(quick)
	if reqa(time.Minute) != 0 || reqa(2*time.Minute) != 16 {
		t.Error("SetStartup was not heard")
	}
}

// A card laid into the field starts up by the reader's clock, which is ahead.
func TestPutCountsByTheReadersClock(t *testing.T) {
	f := cardtest.NewField()
	ahead := time.Now().Add(time.Hour)
	f.SetRF(true, ahead)
	c := mustCard(t, "01020304", card.MifareClassic1K)
	f.Put(c, c)
	if n := len(f.Cards()); n != 1 {
		t.Errorf("put twice, there are %d", n)
	}
	f.SetRF(true, ahead.Add(time.Millisecond)) // is on already
	if a := f.Exchange(ahead.Add(500*time.Microsecond), cardtest.Frame{Bytes: []byte{0x26}, Bits: 7}); a.Bits != 0 {
		t.Error("answered at once")
	}
	if a := f.Exchange(ahead.Add(time.Second), cardtest.Frame{Bytes: []byte{0x26}, Bits: 7}); a.Bits != 16 {
		t.Error("never answered")
	}
}

func TestCollisionsAreBitwise(t *testing.T) {
	// 0x01 and 0x05 differ in their third bit; ATQA 0004 and 0044 in the seventh.
	a, b := mustCard(t, "01AAAAAA", card.MifareClassic1K), mustCard(t, "05AAAAAA", card.MifareClassic1K)
	r := newReader(a, b)
	if got := r.say("26/7"); got != "0400" {
		t.Errorf("the same ATQA: %s", got)
	}
	if got := r.say("93 20"); got != "05AAAAAAAF!2" {
		t.Errorf("two UIDs: %s", got)
	}
	if got := r.say("93 23 05/19"); got != tail("05AAAAAAAF", 3) {
		t.Errorf("the one with the bit set: %s", got)
	}
	if a.State() != cardtest.Idle || b.State() != cardtest.Ready {
		t.Errorf("states %s and %s", a.State(), b.State())
	}
	c := mustCard(t, "01020304050607", card.MifareUltralight)
	r = newReader(a, c)
	if got := r.say("52/7"); got != "4400!6" {
		t.Errorf("two kinds of ATQA: %s", got)
	}
	// The last bit of the UID.
	r = newReader(mustCard(t, "0000007F", card.MifareClassic1K), mustCard(t, "000000FF", card.MifareClassic1K))
	r.say("26/7")
	if got := r.say("93 20"); !strings.HasSuffix(got, "!31") {
		t.Errorf("collision in the 32nd bit: %s", got)
	}
}

// tail is what remains of bytes after the first bits, as say prints it.
func tail(s string, skip int) string {
	b := unhex(s)
	out := make([]byte, (8*len(b)-skip+7)/8)
	for i := skip; i < 8*len(b); i++ {
		out[(i-skip)/8] |= b[i/8] >> (i % 8) & 1 << ((i - skip) % 8)
	}
	return fmt.Sprintf("%X/%d", out, 8*len(b)-skip)
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		set   func(*cardtest.Card)
		lines [][2]string
	}{
		{"bad BCC", func(c *cardtest.Card) { c.SetFault(cardtest.BadBCC) }, [][2]string{{"26/7", "0400"}, {"93 20", "C5CC358A49"}}},
		{"bad CRC", func(c *cardtest.Card) { c.SetFault(cardtest.BadCRC) }, [][2]string{{"26/7", "0400"}, {"93 70 C5CC358AB6+", "08B622"}}},
		{"short SAK", func(c *cardtest.Card) { c.SetFault(cardtest.ShortSAK) }, [][2]string{{"26/7", "0400"}, {"93 70 C5CC358AB6+", "08"}}},
		{"short ATQA", func(c *cardtest.Card) { c.SetFault(cardtest.ShortATQA) }, [][2]string{{"26/7", "04"}}},
		{"refuses HLTA", func(c *cardtest.Card) { c.SetFault(cardtest.RefusesHalt) }, [][2]string{
			{"26/7", "0400"}, {"93 70 C5CC358AB6+", "08B6DD"}, {"5000+", "00/4"}, {"26/7", ""},
		}},
		{"mute at the request", func(c *cardtest.Card) { c.MuteAt(cardtest.StepRequest) }, [][2]string{{"26/7", ""}, {"93 20", "C5CC358AB6"}}},
		{"mute at anticollision", func(c *cardtest.Card) { c.MuteAt(cardtest.StepAnticollision) }, [][2]string{
			{"26/7", "0400"}, {"93 20", ""}, {"93 70 C5CC358AB6+", "08B6DD"},
		}},
		{"mute at SELECT", func(c *cardtest.Card) { c.MuteAt(cardtest.StepSelect) }, [][2]string{{"26/7", "0400"}, {"93 70 C5CC358AB6+", ""}}},
		{"leaves before the third frame", func(c *cardtest.Card) { c.LeaveAt(3) }, [][2]string{
			{"26/7", "0400"}, {"93 20", "C5CC358AB6"}, {"93 70 C5CC358AB6+", ""}, {"52/7", ""},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mustCard(t, "C5CC358A", card.MifareClassic1K)
			tt.set(c)
			r := newReader(c)
			for i, line := range tt.lines {
				if got := r.say(line[0]); got != line[1] {
					t.Fatalf("line %d: %s answered with %q, want %q", i, line[0], got, line[1])
				}
			}
		})
	}
	c := mustCard(t, "C5CC358A", card.MifareClassic1K)
	c.SetFault(cardtest.BadParity)
	if a := newReader(c).send([]byte{0x26}, 7); !a.BadParity || a.Bits != 16 {
		t.Errorf("bad parity: %+v", a)
	}
	if a := newReader(cardtest.NewUnreadable()).send([]byte{0x26}, 7); a.Bits != 0 {
		t.Errorf("an unreadable card: %+v", a)
	}
	gone := mustCard(t, "C5CC358A", card.MifareClassic1K)
	gone.LeaveAt(1)
	r := newReader(gone)
	r.say("26/7")
	if len(r.field.Cards()) != 0 || gone.State() != cardtest.Off {
		t.Error("a card that left is still there")
	}
}

func TestRandomUIDChangesWithEachPowerUp(t *testing.T) {
	c, err := cardtest.NewRandom(card.ISO14443_4, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(c)
	seen := map[card.UID]bool{}
	for range 5 {
		if !c.UID().Random() {
			t.Fatalf("%s is not a random UID", c.UID())
		}
		seen[c.UID()] = true
		r.say("26/7")
		if got := r.say("93 20"); !strings.HasPrefix(got, c.UID().String()) {
			t.Fatalf("the card sends %s and says it is %s", got, c.UID())
		}
		r.field.SetRF(false, r.now)
		r.field.SetRF(true, r.now)
	}
	if len(seen) != 5 {
		t.Errorf("%d UIDs in 5 visits", len(seen))
	}
}

func TestCardsComeAndGoWhileTheReaderPolls(t *testing.T) {
	r := newReader()
	cards := []*cardtest.Card{mustCard(t, "01020304", card.MifareClassic1K), mustCard(t, "01020304050607", card.ISO14443_4)}
	var wg sync.WaitGroup
	for _, c := range cards {
		wg.Go(func() {
			for i := range 200 {
				r.field.Put(c)
				c.SetFault(cardtest.Fault(i % 3))
				c.LeaveAt(i % 4)
				_, _ = c.UID(), c.State()
				r.field.Remove(c)
			}
		})
	}
	for range 200 {
		r.say("52/7")
		r.say("93 20")
	}
	wg.Wait()
	if n := len(r.field.Cards()); n != 0 {
		t.Errorf("%d cards stayed", n)
	}
	r.field.Put(cards...)
	if got := r.field.Cards(); !slices.Equal(got, cards) {
		t.Errorf("cards %v", got)
	}
}
