// Package offline reads the folder of a gateway that does not run: of one that was
// stopped, or on a card that was taken out of another machine.
//
// It exists so that an export says the same of a gateway that is off as the gateway
// would say itself, and since when it is off.
package offline

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
)

// The sources of the present time, as in the configuration's clock.source.
const (
	KernelClock  = "kernel"
	TrustedClock = "trust"
	MockedClock  = "sim" // only the gateway itself knows its time
)

// Folder is an open folder of a gateway. Nothing in it is written to.
type Folder struct {
	Source export.Source
	// Warnings are what makes the export less exact than it could be.
	Warnings []error

	file *journal.Reader
}

// Close lets go of the folder.
func (f *Folder) Close() error { return f.file.Close() }

// Origin is whose events the journal in a state directory holds in which no gateway
// runs; it is zero where the journal is of an earlier version, which did not say so.
func Origin(stateDir string) (presence.Origin, error) {
	file, err := journal.OpenReadOnly(configured.JournalIn(stateDir))
	if err != nil {
		return presence.Origin{}, NoJournal(stateDir, err)
	}
	return file.Origin(), file.Close()
}

// NoJournal puts into words why a journal cannot be opened for reading.
func NoJournal(stateDir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return language.Errorf(
			"there is no journal in %s: no gateway has recorded anything there, or gateway.state_dir is another",
			"tidak ada jurnal di %s: belum ada gateway yang mencatat di sana, atau gateway.state_dir lain", stateDir)
	case errors.Is(err, fs.ErrPermission):
		return language.Errorf(
			"the journal in %s is not for user %d to read, and no gateway runs that could be asked: call it with sudo",
			"jurnal di %s tidak boleh dibaca pengguna %d, dan tidak ada gateway berjalan yang dapat ditanya: jalankan dengan sudo", stateDir, os.Getuid())
	}
	return err
}

// Open opens a state directory in which no gateway runs.
func Open(ctx context.Context, stateDir string, origin presence.Origin, clockSource string) (*Folder, error) {
	path := configured.JournalIn(stateDir)
	file, err := journal.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	report, err := journal.Verify(ctx, path, nil)
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	f := &Folder{file: file}
	times := clock.New(nil)
	if err := times.Read(file); err != nil {
		f.Warnings = append(f.Warnings, language.Errorf("times are less well known than they could be: %v", "waktu kurang tepat dari yang seharusnya: %v", err))
	}
	alive, clean, known := file.Ended()
	var end *presence.Reading
	if known {
		end = &alive
	}
	outages, err := outage.Read(file, times, end)
	if err != nil {
		f.Warnings = append(f.Warnings, language.Errorf("not all outages can be read: %v", "tidak semua gangguan dapat dibaca: %v", err))
	}
	revisions := export.Published(file, times)
	f.Source = export.Source{
		Origin: origin, Times: times, Revisions: revisions, Estimates: revisions, Journal: file, Outages: outages,
		Damaged: !report.Whole(), Now: func() presence.Timing { return present(clockSource, times) },
	}
	if known {
		f.Source.Off = &export.Off{Since: alive, Failure: offSince(alive, clean)}
	}
	return f, nil
}

// offSince tells why a gateway is off that was last alive at a reading.
func offSince(alive presence.Reading, clean bool) alerts.Failure {
	boot, err := clock.BootID()
	switch {
	case clean:
		return alerts.Stopped
	case err == nil && boot != alive.Boot:
		return alerts.PowerOff
	}
	return alerts.Crashed
}

// present is what can be known of the present time when no gateway runs that could be
// asked. That is nothing if the machine's clock cannot be read, or if the gateway's
// clock is mocked.
func present(clockSource string, times export.Times) presence.Timing {
	unknown := presence.Timing{Quality: presence.QualityUnsynced}
	newClock := clock.NewKernel
	switch clockSource {
	case MockedClock:
		return unknown
	case TrustedClock:
		newClock = clock.NewTrusted
	}
	source, err := newClock()
	if err != nil {
		return unknown
	}
	return times.Timing(source.Now())
}
