package offline

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/presence"
)

// Export prints to out what was asked for of a gateway that does not run, and to errs
// what makes it less exact than it could be. The configuration at path is read only where
// the folder is its own. An error that wraps export.ErrWhose is one of the caller.
func Export(ctx context.Context, path string, p export.Place, x export.Request, out, errs io.Writer) error {
	clockSource := KernelClock
	if p.Own {
		cfg, err := config.LoadOnly(path)
		if err != nil {
			return err
		}
		p.Origin, clockSource = configured.Origin(cfg), cfg.Clock.Source
	}
	if x.IsRecap() {
		if err := control.OwnerOnly(p.StateDir); err != nil {
			return err
		}
	}
	holds, err := Origin(p.StateDir)
	if err != nil {
		return cmp.Or(p.Whose(), err)
	}
	if p, err = p.Holding(holds); err != nil {
		return err
	}
	folder, err := Open(ctx, p.StateDir, p.Origin, clockSource)
	if err != nil {
		return NoJournal(p.StateDir, err)
	}
	defer folder.Close()
	now := time.Now().In(p.Origin.Location).Format(presence.TimeLayout)
	access := export.AccessOf(x, os.Getuid())
	access.Time = &now
	for _, warning := range append(folder.Warnings, access.Append(p.StateDir)) {
		if warning != nil {
			fmt.Fprintf(errs, "gatewayd: %v\n", warning)
		}
	}
	if err := folder.Source.Write(ctx, out, x); err != nil {
		return err
	}
	if folder.Source.Damaged {
		return export.ErrDamaged
	}
	return nil
}
