package pi

import (
	"context"
	"sync"
	"time"
)

// sampleEvery is how often a Power asks for the supply: the kernel's driver asks the
// firmware as often, and forgets a dip the next time.
const sampleEvery = 2 * time.Second

// Power counts how often the supply was too low.
type Power struct {
	board Board

	mu    sync.Mutex
	known bool
	count int64
	last  time.Time
}

// NewPower makes a counter for a board; Run makes it count.
func NewPower(b Board) *Power {
	_, known := b.UndervoltageNow()
	return &Power{board: b, known: known}
}

// Run asks every 2 s until the context ends.
func (p *Power) Run(ctx context.Context) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		low, known := p.board.UndervoltageNow()
		p.mu.Lock()
		p.known = known
		if low {
			p.count++
			p.last = time.Now()
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Undervoltage is how many of the samples so far found the supply too low; false where
// the board does not tell.
func (p *Power) Undervoltage() (count int64, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count, p.known
}

// LowWithin reports whether a sample not longer ago than this found the supply too low.
func (p *Power) LowWithin(d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count > 0 && time.Since(p.last) <= d
}
