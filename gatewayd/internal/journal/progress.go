package journal

import (
	"fmt"
	"log/slog"
	"time"
)

// progress tells how far the rescue of a damaged journal is: of the log every ten
// seconds, of Options.Rescue every second.
type progress struct {
	log    *slog.Logger
	tell   func(done float64)
	size   int64 // of the damaged file
	began  time.Time
	told   time.Time
	logged time.Time
}

// How often progress is told, and how much of the work is reading; the rest is
// writing the new file.
const (
	tellEvery = time.Second
	logEvery  = 10 * time.Second
	reading   = 0.6
)

func newProgress(opt Options) *progress {
	p := &progress{log: opt.Log, tell: opt.Rescue, began: time.Now()}
	if p.tell == nil {
		p.tell = func(float64) {}
	}
	p.tell(0)
	p.told, p.logged = p.began, p.began
	return p
}

// of says how large the damaged file is.
func (p *progress) of(size int64) {
	p.size = size
	p.log.Warn("the journal is damaged; every event that can be read is being saved", "bytes", size)
}

// read notes that the file was read up to a place.
func (p *progress) read(upto int64) {
	p.at(reading * float64(upto) / float64(max(p.size, 1)))
}

// copied notes that so many of all records are in the new file.
func (p *progress) copied(n, all int) {
	p.at(reading + (1-reading)*float64(n)/float64(max(all, 1)))
}

func (p *progress) at(done float64) {
	now := time.Now()
	if now.Sub(p.told) >= tellEvery {
		p.told = now
		p.tell(min(done, 0.99)) // 1 is the end
	}
	if now.Sub(p.logged) >= logEvery {
		p.logged = now
		p.log.Warn("the damaged journal is being replaced", "done", fmt.Sprintf("%.0f%%", 100*done), "since", now.Sub(p.began).Round(time.Second))
	}
}

func (p *progress) end() { p.tell(1) }
