package proof_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/presence"
	"presence/scripts/skiptest"
)

const (
	// tapsAScene is how many badges are shown to one reader.
	tapsAScene = 50

	// longestWait is how long anybody may have to wait for the lamp.
	longestWait = 2 * time.Second

	// giveUp is for how long somebody holds a badge.
	giveUp = 4 * time.Second
)

// tally is what has become of all taps.
type tally struct {
	mu                                 sync.Mutex
	taps, authenticated, plain, unseen int
	refused                            map[string]int
	longest                            time.Duration // answer
	attempt                            time.Duration // the longest one at a proof
	slowest                            time.Duration // answer to a badge that was authenticated
	calm                               int           // genuine badges to which nothing happened
}

// TestNoBadgeIsAuthenticatedWithoutItsKey shows badges of all kinds, genuine ones and every
// rogue, to doors with both reader chips, while frames are lost, repeated and damaged on the
// air and on the bus and cards are taken away at any frame. What the event says was
// authenticated must have been answered by the card's own key, which the card in software
// knows of; no card may hold a door up; and where nothing goes wrong each genuine badge is
// let in. BADGE_TAPS is how many there are (make torture).
func TestNoBadgeIsAuthenticatedWithoutItsKey(t *testing.T) {
	skiptest.Computation(t)
	taps := 2000
	if text := os.Getenv("BADGE_TAPS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		taps = n
	}
	sum := &tally{refused: make(map[string]int)}
	t.Run("scenes", func(t *testing.T) {
		for seed := range uint64((taps + tapsAScene - 1) / tapsAScene) {
			r := readers()[seed%2]
			t.Run(fmt.Sprintf("%s %d", r.name, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { newScene(t, r, seed, sum).run() })
			})
		}
	})
	if sum.calm == 0 || sum.authenticated == 0 {
		t.Error("nothing was authenticated at all")
	}
	fmt.Println(sum)
}

func (s *tally) String() string {
	var reasons []string
	for reason, n := range s.refused {
		reasons = append(reasons, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(reasons)
	return fmt.Sprintf(
		"torture-badges: %d taps: %d authenticated, each by its key; %d by number; %d not seen; refused: %s; the longest attempt took %v, the longest answer %v, of those that were authenticated %v",
		s.taps, s.authenticated, s.plain, s.unseen, strings.Join(reasons, ", "),
		s.attempt.Round(time.Millisecond), s.longest.Round(time.Millisecond), s.slowest.Round(time.Millisecond))
}

// scene is one reader and those who come to it.
type scene struct {
	*office
	rnd       *rand.Rand
	seed      uint64
	sum       *tally
	demanding bool
	calm      bool // nothing goes wrong
	noisy     bool
	shown     []*shown // all badges of this scene
}

// shown is a badge that is shown once.
type shown struct {
	applets.Badge
	card    *cardtest.Card
	program applets.Program
	sound   bool     // it is a genuine one
	lies    bool     // the card itself breaks the standard, so that the reader cannot keep it
	spoilt  []string // what goes wrong, for whoever reads an error
}

func newScene(t *testing.T, r reader, seed uint64, sum *tally) *scene {
	rnd := rand.New(rand.NewPCG(seed, 18))
	s := &scene{rnd: rnd, seed: seed, sum: sum, demanding: rnd.IntN(2) == 0}
	s.calm = rnd.IntN(4) == 0
	s.noisy = !s.calm && rnd.IntN(3) == 0
	s.office = openOffice(t, r, s.demanding, false)
	return s
}

func (s *scene) run() {
	defer s.close()
	time.Sleep(time.Second) // until the chip is set up
	if s.noisy {
		rate := func(worst float64) float64 { return worst * []float64{0, 0, 0.01, 0.1, 1}[s.rnd.IntN(5)] }
		s.chip.SetNoise(cardtest.Noise{
			Seed: s.seed, Air: rate(0.001), Lost: rate(0.1), Ghost: rate(0.1), MOSI: rate(3e-5), MISO: rate(3e-5), Drift: rate(1e-4),
		})
	}
	if s.rnd.IntN(4) == 0 { // somebody leaves his badge there
		b := s.make(applets.Badge{Kind: applets.KindPIV, UID: mustUID(fmt.Sprintf("04%02XFF00000001", s.seed%251))})
		s.field.Put(b.card)
		time.Sleep(giveUp) // whoever comes meanwhile waits for him, too
	}
	for range tapsAScene {
		s.tap()
		if s.t.Failed() {
			return
		}
	}
}

// uid is a badge's: that of a DESFire is new each time, since a failed attempt has it left
// alone for a while; the others are few, so that they come again, and copies of them too.
func (s *scene) uid(k applets.Kind) card.UID {
	n := uint32(len(s.shown) % 8)
	if k != applets.KindPIV && k != applets.KindClone {
		n = s.rnd.Uint32()
	}
	return mustUID(fmt.Sprintf("04%02X00%08X", s.seed%251, n))
}

func mustUID(text string) card.UID {
	uid, err := card.ParseUID(text)
	if err != nil {
		panic(err)
	}
	return uid
}

// draw is some badge.
func (s *scene) draw() applets.Badge {
	kinds := applets.Kinds()
	kind := kinds[s.rnd.IntN(len(kinds))]
	b := applets.Badge{Kind: kind, UID: s.uid(kind), Seed: s.rnd.Uint64()}
	switch {
	case (b.Kind == applets.KindEV2 || b.Kind == applets.KindEV3) && s.rnd.IntN(4) == 0:
		b.UID = mustUID(fmt.Sprintf("08%06X", s.rnd.Uint32()>>8))
	case s.rnd.IntN(5) < 2:
		var fitting []string
		for _, r := range applets.Rogues() {
			if slices.Contains(r.Kinds, b.Kind) {
				fitting = append(fitting, r.Name)
			}
		}
		b.Rogue = fitting[s.rnd.IntN(len(fitting))]
	}
	return b
}

// make makes a badge and how it speaks.
func (s *scene) make(b applets.Badge) *shown {
	s.t.Helper()
	b.Now = time.Now()
	program, err := b.Program()
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := b.Card(program)
	if b.UID.Random() {
		c, err = cardtest.NewRandom(card.ISO14443_4, s.rnd.Uint64())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	one := &shown{Badge: b, card: c, program: program, sound: b.Rogue == "" && b.Kind != applets.KindClone}
	for _, r := range applets.Rogues() {
		one.sound = one.sound || r.Name == b.Rogue && r.Sound
	}
	switch {
	case b.UID.Random():
		c.SetApplet(program, cardtest.DESFire())
	case one.sound && b.Rogue != "large-certificate" && s.rnd.IntN(2) == 0: // rogues have their own
		c.SetApplet(program, s.protocol())
	}
	s.shown = append(s.shown, one)
	return one
}

// protocol is how a card may speak ISO/IEC 14443-4, too.
func (s *scene) protocol() cardtest.Layer4 {
	p := []cardtest.Layer4{cardtest.DESFire(), cardtest.NTAG424(), cardtest.JavaCard()}[s.rnd.IntN(3)]
	p.FSCI, p.FWI, p.SFGI = byte(s.rnd.IntN(9)), byte(4+s.rnd.IntN(7)), byte(s.rnd.IntN(3))
	p.Chunk = []int{0, 0, 61, 200}[s.rnd.IntN(4)]
	p.Multiplier = byte(s.rnd.IntN(3))
	return p
}

// spoil has something go wrong at this tap.
func (s *scene) spoil(one *shown) {
	faults := cardtest.AirFaults()
	for range 1 + s.rnd.IntN(4) {
		n := 1 + s.rnd.IntN(40)
		switch s.rnd.IntN(6) {
		case 0:
			d := time.Duration(s.rnd.IntN(400)) * time.Millisecond
			one.card.DelayAt(n, d)
			one.spoilt = append(one.spoilt, fmt.Sprintf("%d: %v late", n, d))
		case 1:
			n = 1 + s.rnd.IntN(120)
			one.card.LeaveAt(n)
			one.spoilt = append(one.spoilt, fmt.Sprintf("any %d: leaves", n))
		default:
			f := faults[s.rnd.IntN(len(faults))]
			one.card.StrikeAt(n, f)
			one.lies = one.lies || slices.Contains([]cardtest.AirFault{cardtest.WrongNumber, cardtest.AnswerRepeated, cardtest.AckForData}, f)
			one.spoilt = append(one.spoilt, fmt.Sprintf("%d: %s", n, f))
		}
	}
}

// tap shows one badge until the lamp answers, and judges what was said.
func (s *scene) tap() {
	one := s.make(s.draw())
	if !s.calm && s.rnd.IntN(5) > 0 {
		s.spoil(one)
	}
	from := len(s.answered(0))
	s.field.Put(one.card)
	var answers []presence.Answer
	for start := time.Now(); time.Since(start) < giveUp; time.Sleep(poll / 2) {
		answers = s.of(one, from)
		if len(answers) > 0 || !slices.Contains(s.field.Cards(), one.card) {
			break
		}
	}
	time.Sleep(poll)
	s.field.Remove(one.card)
	time.Sleep(10 * poll) // until it is forgotten
	s.judge(one, s.of(one, from))
}

// of are the answers to a badge from the nth on.
func (s *scene) of(one *shown, from int) (list []presence.Answer) {
	for _, a := range s.answered(from) {
		uid, err := card.ParseUID(a.UID)
		if err == nil && (a.UID == one.UID.String() || uid.Random() && one.UID.Random()) {
			list = append(list, a)
		}
	}
	return list
}

// judge compares what the door said with what the badge knows.
func (s *scene) judge(one *shown, answers []presence.Answer) {
	s.sum.mu.Lock()
	defer s.sum.mu.Unlock()
	s.sum.taps++
	if len(answers) == 0 {
		s.sum.unseen++
	}
	if s.calm && one.sound {
		s.sum.calm++
		if len(answers) != 1 || answers[0].Outcome != presence.Accepted || !card.Assurance(answers[0].Assurance).Authenticated() {
			s.t.Errorf("%+v: a genuine badge at a calm door was answered %+v (%s)", one.Badge, answers, strings.Join(one.spoilt, ", "))
		}
	}
	for _, a := range answers {
		s.sum.longest = max(s.sum.longest, a.Took)
		if a.Took > longestWait {
			s.t.Errorf("%+v: the answer took %v: %+v", one.Badge, a.Took, a)
		}
		switch {
		case a.Outcome != presence.Accepted:
			s.sum.refused[a.Reason]++
		case card.Assurance(a.Assurance).Authenticated():
			s.sum.authenticated++
			s.sum.slowest = max(s.sum.slowest, a.Took)
			s.genuine(one, a)
		default:
			s.sum.plain++
			if s.demanding {
				s.t.Errorf("%+v: enrolled as one that proves who it is, and let in by its number: %+v", one.Badge, a)
			}
		}
	}
	// One that shows another random UID is another card to the door.
	if n := one.program.Authentications(); n > 1 && !one.UID.Random() {
		s.t.Errorf("%+v: authenticated %d times at one visit", one.Badge, n)
	}
	if one.program.Repeats() != 0 {
		s.t.Errorf("%+v: a challenge was used twice", one.Badge)
	}
	if v := slices.DeleteFunc(one.card.Violations(), unavoidable); len(v) > 0 && !s.noisy && !one.lies {
		s.t.Errorf("%+v: the reader broke the standard: %v (%s)", one.Badge, v, strings.Join(one.spoilt, ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, took := range s.attempts {
		s.sum.attempt = max(s.sum.attempt, took)
		if took > longestWait {
			s.t.Errorf("%+v: an attempt took %v", one.Badge, took)
		}
	}
	s.attempts = nil
}

// unavoidable reports whether a reader that has lost a card may do that: it does not know
// whether the card still listens to requests and to HLTA, and of a card whose ATS came
// damaged it does not know how long it needs.
func unavoidable(violation string) bool {
	for _, frame := range []string{"52 ", "93 ", "95 ", "97 ", "50 00 "} {
		if strings.HasPrefix(violation, frame) {
			return true
		}
	}
	return strings.HasPrefix(violation, "C2 ") && strings.Contains(violation, "startup frame guard time")
}

// genuine fails the test unless the badge's own key has answered the challenge of this
// event.
func (s *scene) genuine(one *shown, a presence.Answer) {
	s.mu.Lock()
	d := s.drafts[a.Seq-1]
	s.mu.Unlock()
	uid, guid := applets.RealUID(one.UID), one.GUID()
	switch d.Badge.Assurance {
	case string(card.AssurancePIV):
		p := d.Badge.Proof
		if p == nil || d.Badge.Badge != strings.ToUpper(hex.EncodeToString(guid[:])) {
			s.t.Errorf("%+v is said to be %+v", one.Badge, d.Badge)
			return
		}
		id := stream()
		nonce := append(append(p.Random[:len(p.Random):len(p.Random)], gatewayID...), id[:]...)
		nonce = binary.BigEndian.AppendUint64(nonce, uint64(d.At.Boottime.Milliseconds()))
		short, long := sha256.Sum256(nonce), sha512.Sum384(nonce)
		if !one.program.Signed(short[:]) && !one.program.Signed(long[:]) {
			s.t.Errorf("%+v has not signed the challenge of %+v", one.Badge, d)
		}
	default:
		if !one.sound {
			s.t.Errorf("%+v was authenticated: %+v", one.Badge, d.Badge)
		}
		// The card's model is new at each tap, so that this is the tap's own challenge.
		if one.program.Authentications() == 0 || d.Badge.Badge != strings.ToUpper(hex.EncodeToString(uid[:])) {
			s.t.Errorf("%+v has answered %d challenges, and is said to be %+v", one.Badge, one.program.Authentications(), d.Badge)
		}
	}
}
