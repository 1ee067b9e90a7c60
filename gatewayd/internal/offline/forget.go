package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"presence/config"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/person"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/proof"
)

// Forget removes a person's records, and what is kept of the badges, from the folder of a
// gateway that does not run, as a running one would: the log of exports has it before. What
// makes less difference than that is told on errs.
func Forget(ctx context.Context, cfg *config.Config, who person.Person, errs io.Writer) (journal.Forgotten, error) {
	source, err := clock.NewKernel()
	if err != nil {
		return journal.Forgotten{}, err
	}
	if _, err := os.Stat(configured.JournalPath(cfg)); err != nil {
		return journal.Forgotten{}, NoJournal(cfg.Gateway.StateDir, err)
	}
	line := export.Access{Action: export.ActionForget, UID: os.Getuid()}
	if now := source.Now(); now.Known() {
		text := now.WallTime().In(cfg.Gateway.Timezone).Format(presence.TimeLayout)
		line.Time = &text
	}
	if err := line.Append(cfg.Gateway.StateDir); err != nil {
		fmt.Fprintf(errs, "gatewayd: %v\n", err)
	}
	log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	opt := configured.Journal(cfg, source.Now, log)
	opt.Seals.Signer = configured.Signer(configured.SealKey(cfg))
	j, err := journal.Open(opt)
	if err != nil {
		return journal.Forgotten{}, err
	}
	done, err := j.Forget(ctx, who.Names)
	if err == nil {
		proof.Forget(cfg.Gateway.StateDir, configured.Badges(cfg), who.Badges, log)
	}
	return done, errors.Join(err, j.Close())
}
