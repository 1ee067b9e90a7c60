//go:build bench

package main_test

import (
	"bufio"
	"bytes"
	mqttint "encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/scripts/city/unpack"
)

// cityEvents is where the events of a benchmark go, and cityFilter is what its city
// subscribes to.
const (
	cityEvents = "presence/v1/dinkes/dinkes-01/event/tag"
	cityFilter = "presence/v1/+/+/event/#"
)

// cityCount counts the tag events that a city's broker passes on. It speaks just enough
// MQTT 3.1.1 itself: a client library would take more of the two cores than what is
// measured.
type cityCount struct {
	conn    net.Conn
	batches *unpack.Reader
	lines   [][]byte // of a batch
	want    int      // done is closed when so many came
	done    chan struct{}

	mu    sync.Mutex
	first time.Time // when the first came
	last  time.Time // when the latest came
	count int
	ids   map[string]struct{} // the ids that came; nil: they are not read
	wrong error               // why nothing comes any more
}

// countEvents subscribes at a broker. With ids it also tells how many different events
// came, which costs time.
func countEvents(t testing.TB, broker string, want int, ids bool) *cityCount {
	t.Helper()
	conn, err := net.Dial("tcp", broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	batches, err := unpack.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	c := &cityCount{conn: conn, batches: batches, want: want, done: make(chan struct{})}
	if ids {
		c.ids = make(map[string]struct{})
	}
	subscribe := append([]byte{0x82, byte(5 + len(cityFilter)), 0, 1, 0, byte(len(cityFilter))}, cityFilter...)
	if _, err := conn.Write(append(append(hello("city"), subscribe...), 0)); err != nil {
		t.Fatal(err)
	}
	granted := make(chan struct{})
	go c.read(granted)
	select {
	case <-granted:
	case <-time.After(10 * time.Second):
		t.Fatal("the city cannot subscribe")
	}
	return c
}

// hello is a CONNECT packet with a clean session.
func hello(client string) []byte {
	packet := []byte{0x10, byte(12 + len(client)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(client))}
	return append(packet, client...)
}

// read counts until the connection ends.
func (c *cityCount) read(granted chan<- struct{}) {
	in := bufio.NewReaderSize(c.conn, 256<<10)
	for {
		packet, kind, err := readPacket(in)
		if err != nil {
			c.mu.Lock()
			c.wrong = err
			c.mu.Unlock()
			return
		}
		switch kind >> 4 {
		case 9: // SUBACK
			close(granted)
		case 3: // PUBLISH
			size := int(mqttint.BigEndian.Uint16(packet))
			c.add(packet[2:2+size], packet[2+size:]) // at QoS 0 there is no packet id between
		}
	}
}

// readPacket returns what follows a packet's header, until the next call.
func readPacket(in *bufio.Reader) (packet []byte, kind byte, err error) {
	if kind, err = in.ReadByte(); err != nil {
		return nil, 0, err
	}
	length, err := mqttint.ReadUvarint(in) // MQTT's remaining length is a varint
	if err != nil {
		return nil, 0, err
	}
	if packet, err = in.Peek(int(length)); err != nil {
		return nil, 0, err
	}
	_, err = in.Discard(int(length))
	return packet, kind, err
}

// add counts a message: an event, or a batch of them. A batch that cannot be read counts
// for nothing, so that events are missing at the end. Whether an event is JSON is not
// checked, in a batch as little as of one that comes alone: that would take four times as
// long as to unpack it, and no contender has anything to do with it.
func (c *cityCount) add(topic, payload []byte) {
	switch {
	case bytes.HasSuffix(topic, []byte("/event/tag")):
		c.addEvents(payload)
	case bytes.HasSuffix(topic, []byte("/event/batch")):
		text, _ := c.batches.Text(payload)
		c.lines = c.lines[:0]
		for line := range bytes.Lines(text) {
			if bytes.Contains(line, tagKind) {
				c.lines = append(c.lines, line)
			}
		}
		c.addEvents(c.lines...)
	}
}

// tagKind is in every tag event.
var tagKind = []byte(`"kind":"tag"`)

// addEvents counts events.
func (c *cityCount) addEvents(events ...[]byte) {
	if len(events) == 0 { // a gateway tries with an empty batch whether it may
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	if c.first.IsZero() {
		c.first = c.last
	}
	for _, event := range events {
		if c.ids != nil {
			_, id, _ := bytes.Cut(event, []byte(`"id":"`))
			id, _, _ = bytes.Cut(id, []byte(`"`))
			c.ids[string(id)] = struct{}{}
		}
		if c.count++; c.count == c.want {
			close(c.done)
		}
	}
}

// rate waits until all events are there, and returns how many came per second.
func (c *cityCount) rate(t testing.TB, bound time.Duration) float64 {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(bound):
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Fatalf("%d of %d events came within %v (%v)", c.count, c.want, bound, c.wrong)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.want) / c.last.Sub(c.first).Seconds()
}

// different waits until the events that were taken are all there, or until none came for
// a while, and returns how many different ones came.
func (c *cityCount) different(taken int, silence time.Duration) int {
	began := time.Now()
	for {
		c.mu.Lock()
		n, latest := len(c.ids), c.last
		c.mu.Unlock()
		if latest.Before(began) {
			latest = began
		}
		if n >= taken || time.Since(latest) > silence {
			return n
		}
		<-time.After(50 * time.Millisecond)
	}
}

// countedLine is the way to the city's broker: a proxy that can be cut, and that counts
// bytes in both directions.
type countedLine struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	open   bool
	conns  []net.Conn
	bytes  int64
	copies sync.WaitGroup
}

// newCountedLine makes a line that is cut.
func newCountedLine(t testing.TB, to string) *countedLine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line := &countedLine{listener: l, to: to}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line.carry(conn)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-accepting
		line.cut()
	})
	return line
}

func (l *countedLine) address() string { return l.listener.Addr().String() }

// carry passes a connection on to the broker, or ends it while the line is cut.
func (l *countedLine) carry(from net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var to net.Conn
	err := errors.New("the line is cut")
	if l.open {
		to, err = net.Dial("tcp", l.to)
	}
	if err != nil {
		from.Close()
		return
	}
	l.conns = append(l.conns, from, to)
	for _, way := range [][2]net.Conn{{to, from}, {from, to}} {
		l.copies.Go(func() {
			n, _ := io.Copy(way[0], way[1]) // ends with an error when the line is cut
			way[0].Close()
			way[1].Close()
			l.mu.Lock()
			l.bytes += n
			l.mu.Unlock()
		})
	}
}

func (l *countedLine) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = true
}

// cut ends all connections, lets none come up, and returns how many bytes the line has
// carried so far, without what TCP and IP add.
func (l *countedLine) cut() int64 {
	l.mu.Lock()
	l.open = false
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
	l.mu.Unlock()
	l.copies.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// publishEvents publishes events at QoS 1, and returns how many were acknowledged before
// its time was over. Like cityCount it does only what it must.
func publishEvents(t testing.TB, broker string, events []string, bound time.Duration) int {
	t.Helper()
	conn, err := net.Dial("tcp", broker)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if _, err := conn.Write(hello("publisher")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readPacket(in); err != nil { // CONNACK
		t.Fatal(err)
	}
	window, ended := make(chan struct{}, 256), make(chan struct{})
	acknowledged := 0
	go func() {
		defer close(ended)
		for acknowledged < len(events) {
			if _, _, err := readPacket(in); err != nil { // PUBACK
				return
			}
			acknowledged++
			<-window
		}
	}()
	writeEvents(conn, events, window, ended)
	<-ended
	return acknowledged
}

// writeEvents writes PUBLISH packets, until all are written or the connection has ended.
func writeEvents(conn net.Conn, events []string, window chan<- struct{}, ended <-chan struct{}) {
	out := bufio.NewWriterSize(conn, 16<<10)
	defer out.Flush() // the reader notices if it fails
	var packet []byte
	for i, event := range events {
		select {
		case window <- struct{}{}:
		default:
			if out.Flush() != nil {
				return
			}
			select {
			case window <- struct{}{}:
			case <-ended:
				return
			}
		}
		packet = mqttint.AppendUvarint(append(packet[:0], 0x32), uint64(2+len(cityEvents)+2+len(event)))
		packet = mqttint.BigEndian.AppendUint16(packet, uint16(len(cityEvents)))
		packet = append(packet, cityEvents...)
		packet = mqttint.BigEndian.AppendUint16(packet, uint16(1+i%65535))
		if _, err := out.Write(append(packet, event...)); err != nil {
			return
		}
	}
}

// tagEvents are the lines among those of an export that are tag events.
func tagEvents(export string) (events []string) {
	for line := range strings.Lines(export) {
		if strings.Contains(line, string(tagKind)) {
			events = append(events, strings.TrimSuffix(line, "\n"))
		}
	}
	return events
}
