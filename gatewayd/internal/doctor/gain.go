package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"

	"presence/config"
	"presence/drivers/card"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/terminal"
)

// gainLooks is how often each gain is tried: enough to tell a gain at which one
// look in twenty fails from one at which none does, and all six of them in a few
// seconds.
const gainLooks = 100

// Gains is the document that `gatewayd doctor --gain --json` prints.
type Gains struct {
	V       int           `json:"v"`
	Readers []ReaderGains `json:"readers"`
}

// ReaderGains is how well one reader hears a badge.
type ReaderGains struct {
	Name  string            `json:"name"`
	Set   int               `json:"gain_db"` // as configured
	Best  int               `json:"best_db"` // 0 where no badge was seen
	Tried []card.GainResult `json:"tried"`
}

// sweeper is a reader's chip whose gain can be tried out.
type sweeper interface {
	SweepGain(ctx context.Context, looks int) ([]card.GainResult, error)
}

// SweepGain tries out the gains of one reader. It closes the chip that open returns.
func SweepGain(ctx context.Context, r config.Reader, open func() (Chip, error)) (ReaderGains, error) {
	chip, err := open()
	if err != nil {
		return ReaderGains{}, err
	}
	g := ReaderGains{Name: r.Name, Set: r.GainDB}
	if s, ok := chip.(sweeper); ok {
		g.Tried, err = s.SweepGain(ctx, gainLooks)
	} else {
		err = fmt.Errorf("the gain of its chip, %s, cannot be set", r.Chip)
	}
	if closing := chip.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return ReaderGains{}, err
	}
	g.Best, _ = card.BestGain(g.Tried)
	return g, nil
}

// Print writes a table for the technician.
func (g Gains) Print(w io.Writer, s terminal.Screen) error {
	say := func(en, id string, args ...any) error {
		_, err := fmt.Fprintln(w, language.Say(en, id, args...).In(s.Language))
		return err
	}
	for _, r := range g.Readers {
		err := say("reader %s", "pembaca %s", r.Name)
		for _, t := range r.Tried {
			err = errors.Join(err, say(
				"  %d dB: %3d of %d looks saw a badge, %d attempts failed",
				"  %d dB: %3d dari %d pembacaan melihat kartu, %d percobaan gagal", t.DB, t.Seen, t.Scans, t.BadFrames))
		}
		switch {
		case r.Best == 0:
			err = errors.Join(err, say(
				"  no badge was seen at any gain: lay one where people hold theirs, and try again",
				"  tidak ada kartu yang terlihat: letakkan kartu di tempat orang menempelkannya, lalu ulangi"))
		case r.Best == r.Set:
			err = errors.Join(err, say("  gain_db = %d is the best, and is set", "  gain_db = %d yang terbaik, dan sudah dipakai", r.Best))
		default:
			err = errors.Join(err, say(
				"  the best is gain_db = %d; %d is set", "  yang terbaik gain_db = %d; yang dipakai %d", r.Best, r.Set))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
