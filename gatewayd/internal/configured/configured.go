package configured

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"presence/config"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/hours"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/tags"
	"presence/gatewayd/internal/uplink"
)

// Origin is what all events of a gateway have in common.
func Origin(cfg *config.Config) presence.Origin {
	return presence.Origin{Gateway: cfg.Gateway.ID, Dinas: cfg.Gateway.Dinas, Location: cfg.Gateway.Timezone}
}

// Badges names cards as the city knows them: by a hash under the gateway's key, or
// by their UID where no key is configured.
func Badges(cfg *config.Config) presence.Badges {
	if cfg.Badges.Key == nil {
		return presence.PlainBadges()
	}
	return presence.HashedBadges(*cfg.Badges.Key)
}

// JournalPath is where a gateway keeps its journal.
func JournalPath(cfg *config.Config) string { return JournalIn(cfg.Gateway.StateDir) }

// JournalIn is where a gateway keeps its journal whose state directory is known.
func JournalIn(stateDir string) string { return filepath.Join(stateDir, "journal.db") }

// Journal are the options with which a gateway's journal is opened.
func Journal(cfg *config.Config, now func() presence.Reading, log *slog.Logger) journal.Options {
	return journal.Options{
		Origin:         Origin(cfg),
		Path:           JournalPath(cfg),
		Keep:           cfg.Journal.Keep,
		MaxBytes:       int64(cfg.Journal.MaxMB) << 20,
		CommitInterval: cfg.Journal.CommitInterval,
		Now:            now,
		Version:        build.Version(),
		Simulated:      cfg.Simulated(),
		Log:            log,
	}
}

// Line are those options of an uplink that the configuration knows. Who opens the
// line adds the journal, the clock and the log.
func Line(cfg *config.Config) uplink.Options {
	m := cfg.MQTT
	return uplink.Options{
		Origin:  Origin(cfg),
		Address: m.Broker.Address(), TLS: m.Broker.TLS, WebSocket: m.Broker.Path, Proxy: m.Proxy,
		CAFile: m.CAFile, CertFile: m.CertFile, KeyFile: m.KeyFile,
		Username: m.Username, PasswordFile: m.PasswordFile,
		Window: m.Window, KeepAlive: m.KeepAlive,
		Receipts: m.Receipts,
		Batch:    m.Batch == "zstd", BatchWait: m.BatchWait, BatchMax: m.BatchMax,
	}
}

// Fence makes the fence around the office, nil where none is configured. An error
// that names a mistake in the file is a tags.FenceError.
func Fence(o *config.Office) (*tags.Fence, error) {
	switch {
	case o == nil:
		return nil, nil
	case o.FenceFile == "":
		return tags.NewCircle(o.Lat, o.Lon, o.RadiusM)
	}
	text, err := os.ReadFile(o.FenceFile)
	if err != nil {
		return nil, fmt.Errorf("read fence: %w", err)
	}
	f, err := tags.ParseGeoJSON(text)
	if err != nil {
		return nil, fmt.Errorf("read fence %s: %w", o.FenceFile, err)
	}
	return f, nil
}

// Calendar makes working hours of the configuration or of the city.
func Calendar(zone *time.Location, h config.Hours) hours.Calendar {
	c := hours.Calendar{Location: zone, Always: h.Always, Week: weekOf(h.Week)}
	for _, day := range h.Holidays {
		c.Holidays = append(c.Holidays, hours.Date(day))
	}
	for _, p := range h.Periods {
		c.Periods = append(c.Periods, hours.Period{From: hours.Date(p.From), To: hours.Date(p.To), Week: weekOf(p.Week)})
	}
	return c
}

func weekOf(w config.Week) (week hours.Week) {
	for day, spans := range w {
		for _, s := range spans {
			week[day] = append(week[day], hours.Span(s))
		}
	}
	return week
}
