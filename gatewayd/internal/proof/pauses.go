package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/presence"
)

const (
	// firstPause is how long a card whose key was wrong is left alone; each further
	// failure doubles that, up to longestPause. At that pace nobody can wear out a
	// colleague's card, which locks itself for ever after 1,000 failures, in less than a
	// week of standing at the door day and night. It is no longer, since a copy that
	// answers as if our key were wrong keeps its original out for so long.
	firstPause   = 30 * time.Second
	longestPause = 10 * time.Minute

	// enoughLost is how many answers in a row may be lost, because the card was taken
	// away at that moment, before they are taken for failures.
	enoughLost = 3

	// maxPauses bounds the file.
	maxPauses = 500
)

// Pauses remembers which badges have failed at their key, and for how long they are left
// alone, also over a restart. Its methods may be called from any goroutine.
type Pauses struct {
	path string
	log  *slog.Logger

	mu  sync.Mutex
	all map[string]pause // by badge identity
}

// pause is what is remembered of one badge.
type pause struct {
	Key      string           `json:"key"`            // fingerprint of the key that failed
	Failures int              `json:"failures"`       // in a row
	Lost     int              `json:"lost,omitempty"` // answers in a row that did not come
	At       presence.Reading `json:"at"`             // of the last of them
}

// pausesFile is the form of the file.
type pausesFile struct {
	V      int              `json:"v"` // 1
	Badges map[string]pause `json:"badges"`
}

// NewPauses reads the file, if there is one. A damaged one is as good as none.
func NewPauses(path string, log *slog.Logger) *Pauses {
	p := &Pauses{path: path, log: log, all: make(map[string]pause)}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	var kept pausesFile
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err == nil && kept.V != 1 {
		err = errors.New("it is of another version")
	}
	if err != nil {
		log.Warn("which badges failed at their key is forgotten", "file", path, "error", err)
		return p
	}
	if kept.Badges != nil {
		p.all = kept.Badges
	}
	return p
}

// length is how long a badge is left alone after so many failures in a row.
func (p pause) length() time.Duration {
	switch {
	case p.Failures == 0:
		return 0
	case p.Failures > 10:
		return longestPause
	}
	return min(firstPause<<(p.Failures-1), longestPause)
}

// active reports whether a badge must be left alone now, for the sake of its key. Another
// key, which came with a new document, is tried at once. Where it is not known how long the
// pause has lasted, since the gateway was off and has no clock, it begins anew.
func (p *Pauses) active(badge, key string, now presence.Reading) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.all[badge]
	if !ok || last.Key != key {
		return false
	}
	passed, known := now.Since(last.At)
	if !known || passed < 0 {
		if last.Failures == 0 {
			return false
		}
		last.At = now
		p.all[badge] = last
		p.save()
		return true
	}
	return passed < last.length()
}

// failed notes that a key was wrong.
func (p *Pauses) failed(badge, key string, now presence.Reading) {
	p.change(badge, key, now, func(last *pause) { last.Failures, last.Lost = last.Failures+1, 0 })
}

// lost notes that the card was gone before it said whether the key is right.
func (p *Pauses) lost(badge, key string, now presence.Reading) {
	p.change(badge, key, now, func(last *pause) {
		if last.Lost++; last.Lost >= enoughLost {
			last.Failures++
		}
	})
}

func (p *Pauses) change(badge, key string, now presence.Reading, how func(*pause)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.all[badge]
	if last.Key != key {
		last = pause{Key: key}
	}
	how(&last)
	last.At = now
	p.all[badge] = last
	if len(p.all) > maxPauses {
		p.dropOldest(now)
	}
	p.save()
}

// dropOldest forgets the badge that failed the longest ago.
func (p *Pauses) dropOldest(now presence.Reading) {
	oldest, age := "", time.Duration(-1)
	for badge, last := range p.all {
		if passed, known := now.Since(last.At); known && passed > age {
			oldest, age = badge, passed
		}
	}
	if oldest == "" { // all are of boots whose time is not known
		for oldest = range p.all {
			break
		}
	}
	delete(p.all, oldest)
}

// forget drops what is known of a badge: its key was right, or a person's records are to
// be removed.
func (p *Pauses) forget(badge string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.all[badge]; ok {
		delete(p.all, badge)
		p.save()
	}
}

// save writes the file. Where that fails, the pauses hold until the process ends.
func (p *Pauses) save() {
	text, err := json.Marshal(pausesFile{V: 1, Badges: p.all})
	if err == nil {
		err = durable.WriteFile(p.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		p.log.Warn("which badges failed at their key is not kept over a restart", "error", fmt.Errorf("keep pauses: %w", err))
	}
}
