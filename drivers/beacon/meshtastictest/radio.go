package meshtastictest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"presence/drivers/beacon/beacontest"
)

const (
	// nodesOnly is the question for the nodes alone; any other number is answered with
	// the whole configuration, the keys of the channels and of the radio included.
	nodesOnly = 69421

	// forgets is after how long without a word from it a radio forgets a client.
	forgets = 15 * time.Minute

	// keeps is how many packets a radio keeps for a client that is away (nRF52, firmware
	// 2.8). What comes after them is lost.
	keeps = 16

	// starting is how long a radio does not listen after a start.
	starting = 3 * time.Second

	// inUse is the region that a radio is set up for: SG_923.
	inUse = 18
)

// Radio is a radio and what it remembers.
type Radio struct {
	clock *Clock
	line  io.ReadWriter

	mu       sync.Mutex
	own      uint32
	region   uint64
	nodes    []string // frames of its list, beside itself
	cached   map[uint32]beacontest.MeshPacket
	order    []uint32 // of cached
	queue    []string // for a client that is away
	spoken   bool     // it was spoken to: no more text
	client   bool     // somebody has asked, and is not forgotten
	heard    time.Duration
	started  time.Duration
	drop     int // bytes of what is written next that get lost
	asked    []uint32
	beats    int
	settings int // how often it was asked for them
	mistakes []string
}

// New makes a radio with a node number, at the end of a line.
func New(line io.ReadWriter, clock *Clock, own uint32) *Radio {
	r := &Radio{clock: clock, line: line, own: own, region: inUse, cached: make(map[uint32]beacontest.MeshPacket), started: clock.Now() - starting}
	return r
}

// Run listens until the line ends, and returns why.
func (r *Radio) Run() error {
	in := bufio.NewReader(r.line)
	for {
		c, err := in.ReadByte()
		if err != nil {
			return err
		}
		if c != 0x94 {
			continue // what wakes it, or noise
		}
		if c, err = in.ReadByte(); err != nil {
			return err
		}
		if c != 0xC3 {
			_ = in.UnreadByte()
			continue
		}
		head := make([]byte, 2)
		if _, err := io.ReadFull(in, head); err != nil {
			return err
		}
		message := make([]byte, min(binary.BigEndian.Uint16(head), 512))
		if _, err := io.ReadFull(in, message); err != nil {
			return err
		}
		r.receive(message)
	}
}

// receive takes a ToRadio.
func (r *Radio) receive(message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	if now-r.started < starting {
		return // it has not got so far yet
	}
	r.age(now)
	r.spoken, r.heard = true, now
	tag, n := binary.Uvarint(message)
	rest := message[max(n, 0):]
	switch {
	case n > 0 && tag == 3<<3:
		nonce, _ := binary.Uvarint(rest)
		r.answer(uint32(nonce))
	case n > 0 && tag == 7<<3|2:
		r.beats++
		if !bytes.Equal(rest, []byte{0}) {
			r.mistakes = append(r.mistakes, "a heartbeat with a number is broadcast to everybody")
		}
		r.write(beacontest.MeshFrame([]byte{0x5a, 2, 0x10, keeps})) // queueStatus
	case n > 0 && tag == 4<<3:
		r.client = false
	case n > 0 && tag == 1<<3|2:
		r.packet(message)
	default:
		r.mistakes = append(r.mistakes, fmt.Sprintf("it was sent %x", message))
	}
}

// answer brings what was asked for, what was kept, and what had waited.
func (r *Radio) answer(nonce uint32) {
	r.asked = append(r.asked, nonce)
	r.client = true
	if nonce != nodesOnly {
		r.mistakes = append(r.mistakes, fmt.Sprintf("want_config %d brings all keys", nonce))
		r.write(beacontest.MeshFrame([]byte{0x52, 4, 8, 1, 0x12, 0})) // a channel
	}
	r.write(beacontest.MeshSelf(r.own, beacontest.MeshUser(fmt.Sprintf("!%08x", r.own), "Penerima", nil)))
	for _, node := range r.nodes {
		r.write(node)
	}
	r.write(beacontest.MeshComplete(uint64(nonce)))
	for _, num := range r.order {
		p := r.cached[num]
		p.ID = num ^ 0x5a5a5a5a // made up, and the same each time
		p.RSSI, p.SNR = 0, 0
		r.write(p.Frame())
	}
	for _, frame := range r.queue {
		r.write(frame)
	}
	r.queue = nil
}

// packet takes a packet of the program. The one that it has an answer for asks it alone
// for its LoRa settings: any other would go on air, change it, or bring its keys.
func (r *Radio) packet(message []byte) {
	question := []byte{0x0a, 15, 0x15, 0, 0, 0, 0, 0x22, 8, 8, 6, 0x12, 2, 0x28, 5, 0x18, 1}
	binary.LittleEndian.PutUint32(question[3:], r.own)
	if !bytes.Equal(message, question) {
		r.mistakes = append(r.mistakes, fmt.Sprintf("it was sent the packet %x", message))
		return
	}
	r.settings++
	r.write(beacontest.MeshPacket{From: r.own, ID: 1, Port: 6, Payload: beacontest.MeshRegion(r.region)}.Frame())
}

// age forgets a client who has been silent for too long.
func (r *Radio) age(now time.Duration) {
	if r.client && now-r.heard >= forgets {
		r.client = false
	}
}

// write puts something onto the line, less what gets lost.
func (r *Radio) write(s string) {
	lost := min(r.drop, len(s))
	r.drop -= lost
	_, _ = io.WriteString(r.line, s[lost:])
}

// Enlist puts a node into the radio's list.
func (r *Radio) Enlist(num uint32, name string, key []byte, lastHeard uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes = append(r.nodes, beacontest.MeshNode(num, beacontest.MeshUser(fmt.Sprintf("!%08x", num), name, key), lastHeard))
}

// SetUp sets the radio up for a region, and starts it anew as a radio does then; 0 is
// none, as from the factory.
func (r *Radio) SetUp(region uint64) {
	r.mu.Lock()
	r.region = region
	r.mu.Unlock()
	r.Reboot()
}

// Report has a radio with a GPS say where it is itself.
func (r *Radio) Report(p beacontest.MeshPacket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.From, p.RSSI, p.SNR = r.own, 0, 0
	if r.age(r.clock.Now()); r.client {
		r.write(p.Frame())
	}
}

// Hear has a packet come by radio. A radio that is set up for no region is off.
func (r *Radio) Hear(p beacontest.MeshPacket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	r.age(now)
	if r.region == 0 {
		return
	}
	if p.Port == 3 && !p.Encrypted {
		if _, known := r.cached[p.From]; !known {
			r.order = append(r.order, p.From)
		}
		r.cached[p.From] = p
	}
	switch {
	case now-r.started < starting:
	case r.client:
		r.write(p.Frame())
	case len(r.queue) < keeps:
		r.queue = append(r.queue, p.Frame())
	}
}

// Say prints a line of the console's log, also where that should not be.
func (r *Radio) Say(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(text + "\r\n")
}

// Reboot starts the radio anew: it knows no client, has lost what waited, and prints
// what a radio prints.
func (r *Radio) Reboot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client, r.spoken, r.queue, r.started = false, false, nil, r.clock.Now()
	for _, text := range []string{"\r\n\r\n//\\ E S H T /\\ S T / C", "INFO  | ??:??:?? 0 Booting, wake cause 0", "INFO  | ??:??:?? 2 S:B:71,2.8.0.d4c0ffe,t1000-e"} {
		r.write(text + "\r\n")
	}
}

// Forget has the radio forget its client, as after 15 minutes without a word.
func (r *Radio) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client = false
}

// Drop loses the next n bytes that the radio writes.
func (r *Radio) Drop(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop = n
}

// State is what came over the line so far.
type State struct {
	Asked    []uint32 // the numbers of the questions
	Beats    int      // heartbeats
	Settings int      // how often it was asked for its LoRa settings
	Client   bool     // it knows whom to hand packets to
	Mistakes []string // what nobody should ask a radio for
}

// State is the radio as of now.
func (r *Radio) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state()
}

func (r *Radio) state() State {
	r.age(r.clock.Now())
	return State{Asked: slices.Clone(r.asked), Beats: r.beats, Settings: r.settings, Client: r.client, Mistakes: slices.Clone(r.mistakes)}
}
