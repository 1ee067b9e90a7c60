package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/certificates"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/offline"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
)

// Options is what a delivery needs.
type Options struct {
	Config string       // path of this machine's configuration; the file may be missing
	Place  export.Place // the gateway's folder, and whose it is as far as it is known
	// Patience is for how long nothing may be confirmed before it is given up.
	Patience time.Duration
	Log      *slog.Logger
	// Progress, if set, is a terminal on whose present line the report is kept up to date
	// while events are sent; the line is cleared at the end.
	Progress io.Writer
	Language language.Language // of Progress
}

// Report is how far a delivery is.
type Report struct {
	Origin    presence.Origin
	Delivered int64 // events that were delivered now
	Before    int64 // events in the journal that were delivered before
	Left      int64 // events that wait
	// Unmarked says that the folder cannot be written: it does not know what was
	// delivered, and the next time all of it goes again.
	Unmarked bool
}

// Text is the report on one line, as a command closes with it.
func (r Report) Text() language.Text {
	again := language.Text{}
	if r.Unmarked {
		again = language.Say(
			"; the folder cannot be written, so it does not know: they go again if this is run again",
			"; foldernya tidak dapat ditulis, jadi tidak tercatat: bila dijalankan lagi, semuanya dikirim lagi")
	}
	return language.Say(
		"%s/%s: %d events delivered, %d were delivered before, %d are left%s", "%s/%s: %d data terkirim, %d sudah terkirim sebelumnya, %d tersisa%s",
		r.Origin.Dinas, r.Origin.Gateway, r.Delivered, r.Before, r.Left, again)
}

// ErrLeft means that not all events could be delivered.
var ErrLeft error = language.Errorf("not all events were delivered", "tidak semua data terkirim")

// Run delivers what waits in a gateway's folder, and corrects events whose time is known
// better than when they were sent. An error that wraps ErrLeft says why some are left;
// the report counts in any case in which there was a journal.
func Run(ctx context.Context, opt Options) (Report, error) {
	place, err := notRunning(opt.Place)
	if err != nil {
		return Report{}, err
	}
	who := place.Origin
	line, err := findLine(opt.Config, place.StateDir, who)
	if err != nil {
		return Report{}, err
	}
	source, err := clock.NewKernel()
	if err != nil {
		return Report{}, err
	}
	line.Session, line.Now, line.Log = presence.ID(uuid.New()), source.Now, opt.Log
	line.CertTime = func() time.Time { return certificates.Latest(time.Now(), build.Time()) }
	if err := tryLine(ctx, line); err != nil {
		return Report{}, err
	}
	d := &delivery{opt: opt, line: line}
	if err := d.open(place.StateDir, source.Now); err != nil {
		return Report{}, err
	}
	d.report.Origin = who
	stats := d.journal.Stats()
	d.waited, d.report.Before = stats.Pending, stats.Events-stats.Pending
	err = d.send(ctx)
	d.show("")
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = language.Errorf("interrupted", "dihentikan")
	}
	err = errors.Join(err, d.journal.Close())
	d.count()
	if d.report.Left > 0 && err == nil {
		err = language.Errorf("the gateway's events keep coming", "data gateway terus bertambah")
	}
	if err != nil {
		err = language.Errorf("%v: %v", "%v: %v", ErrLeft, err)
	}
	return d.report, err
}

// notRunning finds out whose a folder is in which no gateway runs.
func notRunning(place export.Place) (export.Place, error) {
	if _, err := control.Dial(place.StateDir); !errors.Is(err, control.ErrNotRunning) {
		if err == nil {
			err = language.Errorf("it delivers by itself, see gatewayd status", "gateway itu mengirim sendiri, lihat gatewayd status")
		}
		return place, language.Errorf("a gateway runs on %s: %v", "ada gateway yang berjalan di %s: %v", place.StateDir, err)
	}
	holds, err := offline.Origin(place.StateDir)
	if err != nil {
		return place, err // whoever is asked for, there is nothing of it
	}
	return place.Holding(holds)
}

// tryLine takes the way to the broker once, with a message that changes nothing, before
// anything counts as delivered: in MQTT 3.1.1 a broker acknowledges also what it does not
// pass on.
func tryLine(ctx context.Context, line uplink.Options) error {
	line.Log = slog.New(slog.DiscardHandler)
	p := uplink.Try(ctx, line, false)
	switch {
	case p.Failed == uplink.StepPublish, p.Failed == uplink.StepEcho:
		return language.Errorf("deliver for %s: the broker %s does not pass on what is published in its name (%v): does its ACL allow that?", "kirim untuk %s: broker %s tidak meneruskan yang dikirim atas namanya (%v): apakah ACL-nya mengizinkan?", line.Origin.Gateway, line.Address, p.Err)
	case p.Err != nil:
		return language.Errorf("deliver for %s: no line to the broker %s (%s): %v", "kirim untuk %s: tidak ada sambungan ke broker %s (%s): %v", line.Origin.Gateway, line.Address, p.Failed, p.Err)
	case slices.Contains(p.Denied, "alert/+"), line.Receipts && slices.Contains(p.Denied, "receipt"):
		return language.Errorf("deliver for %s: the broker %s denies topics of the gateway: %v", "kirim untuk %s: broker %s menolak topik gateway: %v", line.Origin.Gateway, line.Address, p.Denied)
	}
	return nil
}

// delivery is one delivery that is under way.
type delivery struct {
	opt     Options
	line    uplink.Options
	journal *journal.Journal
	waited  int64 // events that waited at the start
	report  Report
}

// open opens the journal, or a copy of it where it lies on a medium that cannot be
// written.
func (d *delivery) open(stateDir string, now func() presence.Reading) error {
	path := configured.JournalIn(stateDir)
	err := d.openAt(path, now)
	if !errors.Is(err, unix.EROFS) {
		return err
	}
	d.report.Unmarked = true
	d.opt.Log.Warn("the folder cannot be written: a copy of its journal is delivered", "folder", stateDir)
	dir, err := os.MkdirTemp(os.Getenv("TMPDIR"), "gatewayd-deliver-")
	if err != nil {
		return language.Errorf("copy journal: %v", "salin jurnal: %v", err)
	}
	// Once it is open the copy needs no name, and leaves nothing behind without one.
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, filepath.Base(path))
	if err := journal.Copy(path, copied); err != nil {
		return err
	}
	return d.openAt(copied, now)
}

// room is by how much more than twice its size a journal may grow: enough for the
// revisions that a delivery saves, so that nothing has to make room for them.
const room = 64 << 20

func (d *delivery) openAt(path string, now func() presence.Reading) error {
	info, err := os.Stat(path)
	if err != nil {
		return language.Errorf("open journal: %v", "buka jurnal: %v", err)
	}
	d.journal, err = journal.Open(journal.Options{
		Origin: d.line.Origin, Path: path, NoStream: true,
		Keep: math.MaxInt64, MaxBytes: 2*info.Size() + room, CommitInterval: time.Second,
		Now: now, Version: build.Version(), Log: d.opt.Log,
	})
	if errors.Is(err, journal.ErrHeld) {
		return language.Errorf("%v: it delivers by itself, see gatewayd status", "%v: gateway itu mengirim sendiri, lihat gatewayd status", err)
	}
	return err
}

// progressEvery is how often the progress is looked at.
const progressEvery = 200 * time.Millisecond

// send sends what waits until all of it is delivered, or nothing moves any more.
func (d *delivery) send(ctx context.Context) error {
	times := clock.New(nil) // what the gateway knew of the time, and nothing else
	if err := times.Read(d.journal); err != nil {
		d.opt.Log.Warn("times are less well known than they could be", "error", err)
	}
	if err := times.Recall(d.journal.Tail); err != nil {
		return err
	}
	line := d.line
	line.EventsOnly, line.Journal, line.Times = true, d.journal, times
	up := uplink.New(line)
	ctx, done := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := up.Run(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	g.Go(func() error {
		defer done()
		return up.Settled(ctx)
	})
	g.Go(func() error { return d.watch(ctx, up) })
	return g.Wait()
}

// watch tells how far the delivery is, and ends it when nothing moves for too long or
// the journal fails.
func (d *delivery) watch(ctx context.Context, up *uplink.Uplink) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	moved, acked := time.Now(), int64(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.journal.Failed():
			return language.Errorf("%v: run it again, and what can be read is saved first", "%v: jalankan lagi, dan yang masih terbaca diselamatkan dahulu", d.journal.Err())
		case <-tick.C:
		}
		d.count()
		d.show(d.report.Text().In(d.opt.Language))
		s := up.Stats()
		if now := s.Acked + s.ReceivedReceipt; now != acked {
			acked, moved = now, time.Now()
		}
		if time.Since(moved) < d.opt.Patience {
			continue
		}
		switch {
		case s.LastError != "":
			return language.Errorf("nothing was confirmed for %s: %s", "tidak ada yang dikonfirmasi selama %s: %s", d.opt.Patience, s.LastError)
		case d.line.Receipts && s.Connected:
			return language.Errorf("nothing was confirmed for %s: the broker has taken it, and the city sends no receipts", "tidak ada yang dikonfirmasi selama %s: broker sudah menerimanya, tetapi kota tidak mengirim tanda terima", d.opt.Patience)
		}
		return language.Errorf("nothing was confirmed for %s", "tidak ada yang dikonfirmasi selama %s", d.opt.Patience)
	}
}

// show shows how far the delivery is, in place of what was shown before.
func (d *delivery) show(text string) {
	if d.opt.Progress != nil {
		fmt.Fprintf(d.opt.Progress, "\r\x1b[K%s", text)
	}
}

// count brings the report up to date.
func (d *delivery) count() {
	s := d.journal.Stats()
	d.report.Left, d.report.Delivered = s.Pending, d.waited-s.Pending
}
