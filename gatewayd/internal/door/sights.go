package door

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"presence/gatewayd/internal/presence"
)

// Store keeps a few bytes over restarts.
type Store interface {
	// Load returns what was saved last under a name, nothing if nothing was.
	Load(name string) ([]byte, error)
	// Save makes the bytes durable in place of those before.
	Save(name string, data []byte) error
}

// sightsName is the name of the sights in the store.
const sightsName = "badge sights"

// sight tells when the badge of a tap was last seen. It names the tap and not the
// badge, so that nothing of a person who is forgotten remains here.
type sight struct {
	_      struct{} `cbor:",toarray"`
	Stream presence.ID
	Seq    uint64
	Seen   presence.Reading
}

// Recall reads when badges were last seen before the gateway stopped; it must be
// called before Remember. Without it, a badge that lay on a reader when the gateway
// stopped counts as a new visit once its tap is older than the repeat window; so it
// does after a crash, before which nothing could be saved.
func (d *Door) Recall() error {
	if d.opt.Sights == nil {
		return nil
	}
	data, err := d.opt.Sights.Load(sightsName)
	if err != nil {
		return fmt.Errorf("read sights of badges: %w", err)
	}
	if len(data) == 0 {
		return nil
	}
	var all []sight
	if err := cbor.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("read sights of badges: %w", err)
	}
	now := d.opt.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sights = make(map[tapID]presence.Reading)
	for _, s := range all {
		if d.within(now, s.Seen) {
			d.sights[tapID{s.Stream, s.Seq}] = s.Seen
		}
	}
	return nil
}

// keepSights saves when the badges of present visits were last seen: records tell
// only the tap. It is called when a reader stops, while the journal is still open.
func (d *Door) keepSights() {
	if d.opt.Sights == nil {
		return
	}
	now := d.opt.Now()
	var all []sight
	d.mu.Lock()
	for _, v := range d.recent {
		if d.within(now, v.seen) {
			all = append(all, sight{Stream: v.tap.stream, Seq: v.tap.seq, Seen: v.seen})
		}
	}
	d.mu.Unlock()
	if len(all) == 0 {
		return // what was saved before lies outside the window by now
	}
	data, err := cbor.Marshal(all)
	if err == nil {
		err = d.opt.Sights.Save(sightsName, data)
	}
	if err != nil {
		d.opt.Log.Warn("a badge that lies on a reader may be recorded again after the restart", "error", err)
	}
}
