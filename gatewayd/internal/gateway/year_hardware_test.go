package gateway

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"presence/drivers/card"
)

// field is a badge reader and what lies on it.
type field struct {
	w *world

	mu      sync.Mutex
	cards   []card.Card
	seen    map[card.UID]time.Time // when each was first seen since it was laid there
	fault   error
	noisy   int // looks to come that fail
	moved   time.Time
	changed chan struct{}
	errors  int64 // that this process was told
}

func newField(w *world) *field {
	return &field{w: w, seen: make(map[card.UID]time.Time), changed: make(chan struct{})}
}

// change changes what a look finds.
func (f *field) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	f.moved = f.w.now()
	close(f.changed)
	f.changed = make(chan struct{})
}

// open is a driver that finds its chip.
func (f *field) open() (card.Reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(f.fault, card.ErrBusDead) {
		f.errors++
		return nil, f.fault
	}
	return chip{f}, nil
}

type chip struct{ f *field }

// Poll implements card.Reader. A look at a field in which nothing happens takes
// long, so that a year has fewer of them.
func (c chip) Poll(ctx context.Context) ([]card.Card, error) {
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == nil && f.noisy == 0 && f.w.now().Sub(f.moved) > 500*time.Millisecond {
		changed := f.changed
		f.mu.Unlock()
		quiet := time.NewTimer(time.Second)
		select {
		case <-changed:
		case <-quiet.C:
		case <-ctx.Done():
		}
		quiet.Stop()
		f.mu.Lock()
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case f.fault != nil:
		f.errors++
		return nil, f.fault
	case f.noisy > 0:
		f.noisy--
		f.errors++
		return nil, errors.New("crc of an answer is wrong")
	}
	for _, one := range f.cards {
		if _, known := f.seen[one.UID]; !known {
			f.seen[one.UID] = f.w.now()
		}
	}
	return append([]card.Card(nil), f.cards...), nil
}

// radio is a receiver of tags on a serial port.
type radio struct {
	mu   sync.Mutex
	port *port
	gone bool
}

type port struct {
	frames chan []byte
	rest   []byte
	once   sync.Once
	closed chan struct{}
}

func (r *radio) open() (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return nil, &os.PathError{Op: "open", Path: "/dev/yard", Err: syscall.ENOENT}
	}
	r.port = &port{frames: make(chan []byte, 1024), closed: make(chan struct{})}
	return r.port, nil
}

// unplug takes the receiver away, or brings it back.
func (r *radio) unplug(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = gone
	if gone && r.port != nil {
		_ = r.port.Close()
	}
}

// send lets the receiver hear something, and tells whether the port took it.
func (r *radio) send(sentence string) bool {
	r.mu.Lock()
	p := r.port
	gone := r.gone || p == nil
	r.mu.Unlock()
	if gone {
		return false
	}
	select {
	case <-p.closed:
		return false
	default:
	}
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	select {
	case p.frames <- []byte(sentence):
		return true
	case <-patience.C:
		return false // nobody reads
	}
}

func (p *port) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		select {
		case p.rest = <-p.frames:
		case <-p.closed:
			return 0, io.ErrUnexpectedEOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
