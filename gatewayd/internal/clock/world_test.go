package clock

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/presence"
)

// The simulated world. It is harsher than an office: where a thing is rare, it
// happens here often, and where it has a range, the whole range is used. It was
// fixed before anything was measured in it; who changes it to get a better
// figure is fooling himself.
const (
	// crystalShare is the part of the drift that belongs to the crystal and
	// never changes; every crystal is that far off, in one direction or the
	// other. The rest follows the temperature over the day.
	crystalShare = 0.85

	// Boots: a brownout that hardly lets the gateway start, a day in an office,
	// or days on end. Between them the power is gone for seconds or a night.
	shortBoot, shortBootMost = 10 * time.Second, 3 * time.Minute
	dayBoot, dayBootMost     = time.Hour, 12 * time.Hour
	longBoot, longBootMost   = 24 * time.Hour, 72 * time.Hour
	cut, cutMost             = 5 * time.Second, 3 * time.Hour
	night, nightMost         = 10 * time.Hour, 15 * time.Hour

	// start is how long after the kernel the gateway looks first.
	start, startMost = 5 * time.Second, 30 * time.Second

	// NTP is blocked in one boot of blocked. Else it answers soon, or late; and
	// after one poll in outages it is gone for hours, so that now and then the
	// kernel gives up (8.9 h).
	blocked                = 3
	soon, soonMost         = 10 * time.Second, time.Minute
	late, lateMost         = time.Minute, 2 * time.Hour
	outages                = 40
	outage, outageMost     = time.Hour, 12 * time.Hour
	firstPoll, longestPoll = 32 * time.Second, 2048 * time.Second // systemd-timesyncd's

	// A line takes base in each direction, one value for each boot and each
	// direction, and what it queues on top; one packet in congested meets a jam.
	// That no packet of NTP takes longer than worst is what lineError rests on.
	base, baseMost = 2 * time.Millisecond, 25 * time.Millisecond
	queue          = 8 * time.Millisecond // on average, exponential
	congested      = 20
	worst          = 100 * time.Millisecond

	// The broker answers in every other boot. Each direction of a mobile line may
	// take brokerWorst; of brokerSamples the one with the shortest round trip is
	// kept, each brokerEvery.
	brokerEvery   = 10 * time.Minute
	brokerSamples = 3
	brokerWorst   = 900 * time.Millisecond

	// NTP steps what it finds to be more than this off, and slews the rest
	// (systemd-timesyncd, NTP_MAX_ADJUST).
	ntpStep = 400 * time.Millisecond

	// Somebody types date -s after one look in dateSet.
	dateSet, dateSetBy = 200, 2 * time.Hour

	// The NTP server lies in one life of liars, with the same error all its life:
	// as often as not years ahead (a GPS week, a wrong century) or a month back,
	// else by minutes or hours. In a boot it does so for a while, after it told the
	// truth there; in one of such lives of early it lies from the first poll on.
	liars, early       = 2, 5
	lie, lieMost       = time.Minute, 12 * time.Hour
	smallLie, smallest = 6 * time.Hour, 2 * time.Minute
	farAhead, farBack  = 10 * 365 * 24 * time.Hour, -30 * 24 * time.Hour

	// A look is taken at least so often. The gateway takes one every second.
	lookMost = 15 * time.Minute

	// The process is killed after one look in kills, and of the last look
	// before a power cut nothing is saved in every other boot.
	kills = 100

	// One look in taps is followed by an event.
	taps = 5
)

// world is one gateway's life against true time: nothing in it is known to the
// scheme but what readings and anchors say.
type world struct {
	rng     *rand.Rand
	drift   float64 // of the crystal at the worst, as a fraction
	crystal float64
	phase   float64 // of the day's temperature

	truth int64 // ns since 1970
	boot  presence.ID
	bt    float64 // the crystal's ns since the boot
	wall  float64 // CLOCK_REALTIME minus truth
	there [2]time.Duration

	// The kernel.
	synced   bool
	freq     float64 // what NTP adds to the crystal's rate
	pending  float64 // the offset that is still to be slewed
	constant float64 // of the slewing, in ns
	maxError float64 // 500 ppm since the last poll
	poll     time.Duration
	nextPoll int64 // truth; NTP asks then

	nextBroker int64

	// The NTP server's lies.
	error    time.Duration // 0: it is honest
	early    bool
	lieFrom  int64 // truth
	lieUntil int64
	lying    bool // at the last poll
	voices   map[presence.ID]*heard
}

// heard is what the gateway was told in a boot.
type heard struct{ right, wrong bool }

// event is a reading, and what only the simulator knows of it.
type event struct {
	at    presence.Reading
	truth int64
	sent  presence.Timing

	deceived bool // clocks contradicted each other over it
}

const never = math.MaxInt64

func newWorld(seed uint64, drift float64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 4)), drift: drift, truth: 1_795_000_000e9}
	w.crystal = crystalShare * drift
	if w.one(2) {
		w.crystal = -w.crystal
	}
	w.phase = w.rng.Float64() * 2 * math.Pi
	w.voices = map[presence.ID]*heard{}
	if w.one(liars) {
		switch w.rng.IntN(4) {
		case 0:
			w.error = farAhead
		case 1:
			w.error = farBack
		case 2:
			w.error = w.between(smallest, smallLie)
		case 3:
			w.error = -w.between(smallest, smallLie)
		}
		w.early = w.one(early)
	}
	return w
}

func (w *world) one(in int) bool { return w.rng.IntN(in) == 0 }

func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)))
}

// off is a length of time either way.
func (w *world) off(most time.Duration) float64 { return (w.rng.Float64()*2 - 1) * float64(most) }

// powerCut ends the boot and starts the next, up to where the gateway starts.
func (w *world) powerCut() {
	before := float64(w.truth) + w.wall
	gone := w.between(cut, cutMost)
	if w.one(2) {
		gone = w.between(night, nightMost)
	}
	w.truth += int64(gone)
	for i := range w.boot {
		w.boot[i] = byte(w.rng.Uint32())
	}
	w.bt, w.freq, w.pending, w.synced = 0, 0, 0, false
	switch w.rng.IntN(4) {
	case 0:
		w.wall = -float64(w.truth) // 1970
	case 1:
		w.wall = before - float64(w.truth) // its last shutdown
	case 2:
		w.wall = w.off(time.Hour) // a wild RTC
	case 3:
		w.wall = w.off(ntpStep) // a good RTC: NTP will slew
	}
	w.there = [2]time.Duration{w.between(base, baseMost), w.between(base, baseMost)}
	w.poll, w.nextPoll, w.nextBroker = firstPoll, never, never
	w.voices[w.boot] = &heard{}
	w.lieFrom, w.lieUntil, w.lying = never, never, false
	if w.error != 0 && w.one(2) {
		w.lieFrom = w.truth + int64(w.between(lie, lieMost))
		if w.early && w.one(2) {
			w.lieFrom = 0
		}
		w.lieUntil = max(w.lieFrom, w.truth) + int64(w.between(lie, lieMost))
	}
	switch {
	case w.one(blocked):
	case w.one(3):
		w.nextPoll = w.truth + int64(w.between(late, lateMost))
	default:
		w.nextPoll = w.truth + int64(w.between(soon, soonMost))
	}
	if w.one(2) {
		w.nextBroker = w.truth + int64(w.between(soon, brokerEvery))
	}
	w.pass(w.between(start, startMost))
}

// pass lets true time pass.
func (w *world) pass(d time.Duration) {
	const step = 30 * time.Minute // the temperature is the same for so long
	for ; d > 0; d -= min(d, step) {
		part := float64(min(d, step))
		day := math.Sin(2*math.Pi*float64(w.truth%int64(24*time.Hour))/float64(24*time.Hour) + w.phase)
		crystal := part * (1 + w.crystal + (1-crystalShare)*w.drift*day)
		slewed := 0.0
		if w.pending != 0 {
			slewed = w.pending * (1 - math.Exp(-part/w.constant))
			w.pending -= slewed
		}
		w.truth += int64(part)
		w.bt += crystal
		w.wall += crystal*(1+w.freq) - part + slewed
		if w.maxError += part * 500e-6; w.maxError >= float64(maxSyncError) {
			w.synced = false
		}
	}
}

// packet is how long one packet takes in a direction.
func (w *world) packet(way int, limit time.Duration) time.Duration {
	d := w.there[way] + time.Duration(w.rng.ExpFloat64()*float64(queue))
	if w.one(congested) {
		d = w.between(0, limit)
	}
	return min(d, limit)
}

// ask is one poll of systemd-timesyncd, and what the kernel makes of it
// (ntp_update_offset, with twice its gain).
func (w *world) ask() {
	offset := -w.wall + float64(w.packet(0, worst)-w.packet(1, worst))/2
	// Whoever lies later has told the truth before, and it was heard.
	w.lying = w.truth >= w.lieFrom && w.truth < w.lieUntil && (w.lieFrom == 0 || w.voices[w.boot].right)
	if w.lying {
		offset += float64(w.error)
		w.voices[w.boot].wrong = true
	}
	w.synced, w.maxError = true, 0
	if math.Abs(offset) >= float64(ntpStep) {
		w.wall += offset
		w.pending = 0
	} else {
		w.pending = offset
		w.constant = float64(w.poll) / 4
		w.freq = max(-500e-6, min(500e-6, w.freq+offset/float64(w.poll)))
	}
	w.poll = min(2*w.poll, longestPoll)
	w.nextPoll = w.truth + int64(w.poll)
	if w.one(outages) {
		w.nextPoll = w.truth + int64(w.between(outage, outageMost))
	}
}

// brokerAnswers gives the clock an anchor from the city's clock.
func (w *world) brokerAnswers(c *Clock) {
	w.nextBroker = w.truth + int64(brokerEvery)
	best, wrong := time.Duration(math.MaxInt64), time.Duration(0)
	for range brokerSamples {
		there, back := w.packet(0, brokerWorst), w.packet(1, brokerWorst)
		if there+back < best {
			best, wrong = there+back, (there-back)/2
		}
	}
	w.voices[w.boot].right = true
	c.AddAnchor(SourceBroker, w.Now(), time.Unix(0, w.truth).Add(wrong), best/2)
}

// setDate is date -s: the kernel forgets that it was disciplined (ntp_clear).
func (w *world) setDate() {
	w.wall += w.off(dateSetBy)
	w.pending, w.synced = 0, false
}

// Now implements Source.
func (w *world) Now() presence.Reading {
	r := presence.Reading{Boot: w.boot, Boottime: time.Duration(w.bt), Wall: w.truth + int64(w.wall)}
	t := unix.Timex{Maxerror: math.MaxInt32}
	if w.synced {
		t = unix.Timex{Status: unix.STA_NANO}
		set(&t.Maxerror, w.maxError/1e3)
		set(&t.Offset, w.pending)
	}
	r.State, r.MaxError = kernelState(&t)
	return r
}

// set sets a number of a Timex, whose size hangs on the machine.
func set[T int32 | int64](to *T, f float64) { *to = T(f) }

// Steps implements Source: the simulator looks by itself.
func (w *world) Steps(context.Context, func()) error { return nil }
