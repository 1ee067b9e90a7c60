package beacon_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"presence/drivers/beacon"
	"presence/drivers/beacon/beacontest"
	"presence/drivers/beacon/meshtastictest"
	"presence/drivers/serial"
)

const theTag = 0x1c2f13fc

// mesh is a radio in software and a decoder at the two ends of a pseudo terminal.
type mesh struct {
	*meshtastictest.Radio
	t     *testing.T
	clock *meshtastictest.Clock
	next  uint32 // packet id
	step  time.Duration

	mu    sync.Mutex
	fixes []beacon.Fix
	bad   map[beacon.Reason]int
	came  chan struct{}
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	line, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	port, err := serial.Open(serial.Config{Port: tty.Name(), Baud: 115200})
	if err != nil {
		t.Fatal(err)
	}
	clock := &meshtastictest.Clock{}
	m := &mesh{t: t, clock: clock, step: time.Second, bad: make(map[beacon.Reason]int), came: make(chan struct{}, 1000)}
	m.Radio = meshtastictest.New(line, clock, 0x0000cafe)
	decoder, err := beacon.New(beacon.Meshtastic, port, beacon.Options{
		After:  clock.After,
		Reject: func(why beacon.Reason) { m.mu.Lock(); m.bad[why]++; m.mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run() })
	running.Go(func() {
		for {
			fix, err := decoder.Next()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.fixes = append(m.fixes, fix)
			m.mu.Unlock()
			m.came <- struct{}{}
		}
	})
	running.Go(func() { _ = decoder.(beacon.Talker).Talk(ctx, port) })
	clock.AwaitTimers(2) // it wakes the radio, and has set when to go on
	t.Cleanup(func() {
		cancel()
		_ = port.Close()
		_ = tty.Close()
		_ = line.Close()
		running.Wait()
		if mistakes := m.State().Mistakes; len(mistakes) > 0 {
			t.Errorf("the radio complains: %q", mistakes)
		}
	})
	return m
}

// pass lets time pass, step by step, until something is so: within most, or a little
// later where this machine is too busy to run all that it wakes.
func (m *mesh) pass(most time.Duration, what string, so func(meshtastictest.State) bool) {
	m.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for passed := time.Duration(0); !so(m.State()); passed += m.step {
		if time.Now().After(deadline) {
			m.t.Fatalf("after %v not: %s; %+v", passed, what, m.State())
		}
		m.clock.Advance(m.step)
		breath := 100 * time.Microsecond // for the goroutines that this has woken; none of what follows rests on it
		if passed > most {
			breath = 5 * time.Millisecond
		}
		time.Sleep(breath)
	}
}

// asked waits until the radio has been asked so many times.
func (m *mesh) asked(n int, most time.Duration) {
	m.t.Helper()
	m.pass(most, fmt.Sprintf("asked %d times", n), func(s meshtastictest.State) bool { return len(s.Asked) >= n && s.Client })
}

// hears has the tag send, and waits for its fix.
func (m *mesh) hears() beacon.Fix {
	m.t.Helper()
	m.next++
	m.Hear(beacontest.MeshPacket{From: theTag, ID: m.next, Port: 3, Payload: beacontest.MeshPosition(-7.9777, 112.6331, moment, 32), RSSI: -90, SNR: 5})
	for {
		select {
		case <-m.came:
		case <-time.After(10 * time.Second):
			m.t.Fatalf("packet %d did not come; rejects %v", m.next, m.bad)
		}
		m.mu.Lock()
		fix := m.fixes[len(m.fixes)-1]
		m.mu.Unlock()
		if fix.Packet == m.next {
			return fix
		}
	}
}

// A radio is asked for its nodes, and never for what would bring its keys.
func TestMeshtasticRadioIsAsked(t *testing.T) {
	m := newMesh(t)
	m.asked(1, 2*time.Second)
	if fix := m.hears(); fix.Replay || fix.RSSI == nil || *fix.RSSI != -90 {
		t.Errorf("%+v", fix)
	}
	if diff := cmp.Diff([]uint32{69421}, m.State().Asked); diff != "" {
		t.Errorf("(-want +asked)\n%s", diff)
	}
}

// TestMeshtasticRadioIsKeptAwake: without heartbeats a radio forgets who asked after 15
// minutes. For half a day of silent tags it goes on, and the next packet comes.
func TestMeshtasticRadioIsKeptAwake(t *testing.T) {
	m := newMesh(t)
	m.asked(1, 2*time.Second)
	m.step = 20 * time.Second
	for hour := range 12 {
		m.pass(70*time.Minute, "twelve heartbeats an hour", func(s meshtastictest.State) bool { return s.Beats >= 12*(hour+1) })
	}
	if !m.State().Client {
		t.Error("the radio has forgotten whom to hand packets to")
	}
	m.hears()
	if asked := len(m.State().Asked); asked < 12 { // at least every hour, as nothing came
		t.Errorf("in half a day of silence it was asked %d times", asked)
	}
}

// TestMeshtasticRadioThatForgotIsAskedAgain: it answers heartbeats as if all were well,
// and hands nothing over.
func TestMeshtasticRadioThatForgotIsAskedAgain(t *testing.T) {
	m := newMesh(t)
	m.asked(1, 2*time.Second)
	m.hears()
	m.Forget()
	m.asked(2, 25*time.Minute)
	m.hears()
}

// TestMeshtasticRadioThatStartsAnew: at any moment, also in the middle of a frame. What
// it had kept comes again, and is never live.
func TestMeshtasticRadioThatStartsAnew(t *testing.T) {
	m := newMesh(t)
	m.asked(1, 2*time.Second)
	m.hears()
	for i := range 10 {
		if i%2 == 1 {
			m.Say("\x94\xc3\x00\x3a\x12\x38\x0d\xfc\x13") // half a frame
		}
		m.Reboot()
		m.asked(i+2, time.Minute)
		if fix := m.hears(); fix.Replay {
			t.Errorf("after start %d: %+v", i, fix)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	live, kept := 0, 0
	for _, fix := range m.fixes {
		if fix.Replay {
			kept++
			if fix.RSSI != nil {
				t.Errorf("%+v", fix)
			}
		} else {
			live++
		}
	}
	if live != 11 || kept < 10 { // who is asked twice tells twice
		t.Errorf("%d live fixes and %d that the radio had kept", live, kept)
	}
}

// TestMeshtasticRadioThatDropsBytes, wherever: one packet is lost, not its successor,
// and none is invented.
func TestMeshtasticRadioThatDropsBytes(t *testing.T) {
	m := newMesh(t)
	m.asked(1, 2*time.Second)
	for n := 1; n < 60; n += 3 {
		m.Drop(n)
		m.next++
		m.Hear(beacontest.MeshPacket{From: theTag, ID: m.next, Port: 3, Payload: beacontest.MeshPosition(1, 2, moment, 32), RSSI: -90, SNR: 5})
		m.Say("DEBUG | teks di antara dua paket")
		if fix := m.hears(); fix.Lat != -7.9777 || fix.Lon != 112.6331 {
			t.Errorf("after %d lost bytes: %+v", n, fix)
		}
	}
	for _, fix := range m.fixes {
		if fix.Lat != -7.9777 {
			t.Errorf("invented: %+v", fix)
		}
	}
}

// TestMeshtasticRadioWithoutARegion: out of its box a radio is off, and answers as if all
// were well. It is asked each time that it has been asked for its nodes, so that somebody
// is told for as long as that is so.
func TestMeshtasticRadioWithoutARegion(t *testing.T) {
	m := newMesh(t)
	off := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.bad[beacon.BadRegion]
	}
	m.asked(1, 2*time.Second)
	m.pass(time.Minute, "asked for its region", func(s meshtastictest.State) bool { return s.Settings == 1 })
	m.hears()
	if n := off(); n != 0 {
		t.Errorf("%d times a region is missing that is there", n)
	}
	m.SetUp(0)
	m.asked(2, time.Minute)
	m.pass(time.Minute, "said that it has no region", func(meshtastictest.State) bool { return off() == 1 })
	m.Hear(beacontest.MeshPacket{From: theTag, ID: 99, Port: 3, Payload: beacontest.MeshPosition(1, 2, moment, 32), RSSI: -90, SNR: 5})
	m.pass(30*time.Minute, "said so again", func(meshtastictest.State) bool { return off() > 1 })
	m.SetUp(18)
	m.asked(len(m.State().Asked)+1, time.Minute)
	m.hears()
}

// TestMeshtasticRadioSaysWhereItIs: that is where the office is, and no tag's place.
func TestMeshtasticRadioSaysWhereItIs(t *testing.T) {
	m := newMesh(t)
	m.asked(1, 2*time.Second)
	m.Report(beacontest.MeshPacket{ID: 500, Port: 3, Payload: beacontest.MeshPosition(-7.98, 112.63, moment, 32)})
	m.hears()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.fixes) != 1 {
		t.Errorf("%+v", m.fixes)
	}
}

// A radio that starts while it is asked, or does not answer, is asked until it does.
func TestMeshtasticRadioIsAskedUntilItAnswers(t *testing.T) {
	m := newMesh(t)
	m.Reboot() // it does not listen yet
	m.asked(1, 40*time.Second)
	m.hears()
}

// A line that ends, ends both sides of the conversation.
func TestMeshtasticTalkEndsWithItsLine(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	d, err := beacon.New(beacon.Meshtastic, io.LimitReader(nil, 0), beacon.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.(beacon.Talker).Talk(t.Context(), w); err == nil {
		t.Error("it talks to a line that has ended")
	}
	_ = w.Close()
}
