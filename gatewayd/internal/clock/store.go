package clock

import (
	"fmt"
	"slices"
	"time"

	"presence/gatewayd/internal/presence"
)

// markEvery is how often what is known is saved while nothing new is learned.
// What a power cut takes with it is how long the boot lasted since: a few
// percent, and never more than that of one that has lasted for hours. Each save
// writes several pages: every minute for ever would be 20 MB a day, and most of
// it for nothing.
func markEvery(boottime time.Duration) time.Duration {
	return max(time.Minute, min(boottime/8, 30*time.Minute))
}

// Past is where what is known of boots and anchors lies: a few kilobytes.
type Past interface {
	// Load returns what was saved last under a name, nothing if nothing was.
	Load(name string) ([]byte, error)
}

// Store keeps it over power cuts. It is asked to save some sixty times a day.
type Store interface {
	Past
	// Save makes the bytes durable in place of those before.
	Save(name string, data []byte) error
}

// noteName is the name under which it lies.
const noteName = "clock"

// mark is how far into which boot the store knows.
type mark struct {
	boot presence.ID
	bt   time.Duration
}

// Attach reads what earlier boots and processes knew, and lets Run save it. It
// is called before Run. After an error the clock works on without the past.
func (c *Clock) Attach(store Store) error {
	c.mu.Lock()
	c.store = store
	c.mu.Unlock()
	return c.Read(store)
}

// Read reads what earlier boots and processes knew.
func (c *Clock) Read(past Past) error {
	data, err := past.Load(noteName)
	if err != nil {
		return fmt.Errorf("load clock: %w", err)
	}
	if len(data) == 0 {
		return nil
	}
	book, err := DecodeBook(data)
	if err != nil {
		return fmt.Errorf("load clock: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book = *book
	if c.book.verdict().disputed() {
		c.doubts++
	}
	c.change()
	return nil
}

// maxRecall is how many records of the journal Recall looks at.
const maxRecall = 20_000

// Recall notes from the journal how long boots lasted: an event on disk is as
// good a mark as one that was saved for the purpose. It is called between
// Attach and Run, with a function that passes the journal's records newest
// first until it has passed enough.
//
// Boots that are older than those known are left alone: nobody knows where
// among them they belong.
func (c *Clock) Recall(tail func(func(presence.Entry) bool) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := presence.ID{}
	if n := len(c.book.boots); n > 0 {
		known = c.book.boots[n-1].id
	}
	var last []presence.Reading // of each boot, the newest boot first
	looked := 0
	err := tail(func(e presence.Entry) bool {
		if n := len(last); n == 0 || last[n-1].Boot != e.At.Boot {
			last = append(last, e.At)
		}
		looked++
		return e.At.Boot != known && len(last) < maxBoots && looked < maxRecall
	})
	if err != nil {
		return fmt.Errorf("recall boots: %w", err)
	}
	for _, r := range slices.Backward(last) {
		c.book.See(r.Boot, r.Boottime)
	}
	if c.source != nil {
		// What this boot's clock says is held against the boots before it from the
		// first event on.
		if now := c.source.Now(); now.State != presence.ClockTrusted {
			c.book.See(now.Boot, now.Boottime)
			c.passed = c.book.NotBefore(now)
		}
	}
	return nil
}

// save saves what the store lacks, if it is worth a write: news at once,
// anything else every so often.
func (c *Clock) save() error {
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	due := c.news
	var at mark
	if n := len(c.book.boots); n > 0 {
		newest := c.book.boots[n-1]
		at = mark{newest.id, newest.mark}
		due = due || at.boot != c.saved.boot || at.bt-c.saved.bt >= markEvery(at.bt)
	}
	if c.store == nil || !due {
		c.mu.Unlock()
		return nil
	}
	data, err := c.book.Encode()
	news := c.news
	c.news = false
	c.mu.Unlock()
	if err == nil {
		err = c.store.Save(noteName, data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.news = c.news || news
		return fmt.Errorf("save clock: %w", err)
	}
	c.saved = at
	return nil
}
