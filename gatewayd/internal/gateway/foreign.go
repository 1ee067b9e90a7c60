package gateway

import (
	"encoding/json"
	"fmt"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// foreignJournal is a journal of another gateway that was found in this one's folder: two
// cards were mixed up, or somebody changed the gateway's id by hand.
type foreignJournal struct {
	Holds  string           `json:"holds"`  // whose it is: DINAS/ID
	Folder string           `json:"folder"` // where it is now
	Found  presence.Reading `json:"found"`
	here   bool             // this process found it
}

const (
	// noteForeign is the note about the latest one.
	noteForeign = "foreign journal"
	// foreignAlert is how long its alert stands at least, also over restarts.
	foreignAlert = 24 * time.Hour
)

// setJournalAside puts a journal aside that belongs to another gateway, so that this one
// can record. Nothing of it is lost.
func (g *Gateway) setJournalAside() error {
	path := configured.JournalPath(g.cfg)
	holds := journal.OriginAt(path)
	folder, err := journal.SetAside(path)
	if err != nil {
		return err
	}
	g.foreign = foreignJournal{Holds: holds.Dinas + "/" + holds.Gateway, Folder: folder, Found: g.time.Now(), here: true}
	g.log.Error("the journal of another gateway was in the folder and is put aside", "holds", g.foreign.Holds, "folder", folder)
	return nil
}

// recallForeign keeps what is known of a journal that was put aside in the one that took
// its place, for the alert of later starts.
func (g *Gateway) recallForeign() {
	err := g.keepForeign()
	if err != nil {
		g.log.Warn("a journal that was put aside may be told of no more", "error", err)
	}
}

func (g *Gateway) keepForeign() error {
	if g.foreign.here {
		note, err := json.Marshal(g.foreign)
		if err != nil {
			return fmt.Errorf("encode note %q: %w", noteForeign, err)
		}
		return g.journal.Save(noteForeign, note)
	}
	note, err := g.journal.Load(noteForeign)
	if err != nil || note == nil {
		return err
	}
	if err := json.Unmarshal(note, &g.foreign); err != nil {
		return fmt.Errorf("read note %q: %w", noteForeign, err)
	}
	return nil
}

// foreignConditions is the alert about a journal that was put aside.
func (g *Gateway) foreignConditions() []alerts.Alert {
	if g.foreign.Folder == "" {
		return nil
	}
	if least, _ := g.time.Age(g.foreign.Found); !g.foreign.here && least >= foreignAlert {
		return nil
	}
	return []alerts.Alert{alerts.JournalForeign.Raise(alerts.Values{"file": g.foreign.Folder}, g.foreign.Holds)}
}
