package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"presence/config"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/supervise"
)

// openPatience is how long opening everything may take: a large damaged journal
// on a slow card is read from end to end.
const openPatience = 5 * time.Minute

// Service is the process of a gateway: it runs one daemon after the other, as the
// configuration changes.
type Service struct {
	Path    string             // of the configuration
	HUP     <-chan os.Signal   // each asks to read the configuration again
	Systemd *supervise.Systemd // is told how the process is
	Log     *slog.Logger
}

// Run runs a configuration, and the good ones that come after it, until the
// context ends or nothing can go on. The service manager's watchdog is fed all the
// while, also while a gateway stops.
func (s *Service) Run(ctx context.Context, cfg *config.Config) error {
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { s.Systemd.Watch(watching) })
	defer watch.Wait()
	defer stopWatching()
	d, err := s.open(cfg, Extras{})
	for err == nil {
		var next *successor
		if next, err = s.until(ctx, d); err != nil || next == nil {
			break
		}
		d, err = s.succeed(ctx, next, d.cfg)
	}
	lost := (*journal.Error)(nil)
	if ctx.Err() != nil && errors.Is(err, supervise.ErrStuck) && !errors.As(err, &lost) {
		s.Log.Error("stopped without waiting any longer", "error", err)
		return nil // what was taken in is on the disk
	}
	return err
}

// open opens a gateway, with what there is of another one.
func (s *Service) open(cfg *config.Config, with Extras) (*Gateway, error) {
	opening := s.Systemd.Pulse("opening")
	opening.Beat(openPatience)
	defer opening.Beat(-1)
	with.Systemd = s.Systemd
	return New(cfg, s.Log, with)
}

// successor is the gateway that takes the place of one that runs.
type successor struct {
	cfg    *config.Config
	daemon *Gateway     // open already; nil: it can only be opened in the other's place
	socket net.Listener // of the other, where it could be kept
}

// close gives back what the successor has already.
func (n *successor) close() error {
	switch {
	case n.daemon != nil:
		return n.daemon.close()
	case n.socket != nil:
		return n.socket.Close()
	}
	return nil
}

// until runs a gateway. It returns the one that is to take its place, which has
// the same configuration where the disk has come back, or nil where the context
// ended it.
func (s *Service) until(ctx context.Context, d *Gateway) (*successor, error) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, s.Systemd.Stopping)()
	reloaded := make(chan *successor, 1)
	go func() {
		for {
			select {
			case <-running.Done():
				reloaded <- nil
				return
			case <-s.HUP:
			}
			ready := d.isReady()
			if ready {
				s.Systemd.Reloading()
			}
			if next := s.reread(d.cfg); next != nil {
				next.socket = s.keepSocket(d, next)
				d.leave()
				reloaded <- next
				cancel()
				return
			}
			if ready {
				s.Systemd.Ready()
			}
		}
	}()
	err := d.Run(running)
	cancel()
	var next *successor
	select {
	case next = <-reloaded:
	case <-ctx.Done(): // a journal that is just being opened is left to the end of the process
	}
	if errors.Is(err, errOpens) {
		if err = nil; next == nil && ctx.Err() == nil {
			next = &successor{cfg: d.cfg}
		}
	}
	if next != nil && (err != nil || ctx.Err() != nil) {
		err, next = errors.Join(err, next.close()), nil
	}
	return next, err
}

// keepSocket keeps the control socket for the gateway that takes the place of one
// that runs: whoever asks meanwhile waits a moment and is not told that nobody is
// there. It is nil where the other has a socket of its own.
func (s *Service) keepSocket(d *Gateway, next *successor) net.Listener {
	if d.socket == nil || next.daemon != nil {
		return nil
	}
	socket, err := control.Keep(d.socket)
	if err != nil {
		s.Log.Warn("nobody answers on the control socket for a moment", "error", err)
		return nil
	}
	return socket
}

// takeOverTries is how often a gateway is opened in the place of another one, and
// takeOverPause how long is waited in between: whoever reads the journal at that
// moment will soon be through.
const (
	takeOverTries = 5
	takeOverPause = time.Second
)

// succeed puts a gateway in the place of one that has stopped. Where that fails
// although nothing was found wrong before, the old one goes on.
func (s *Service) succeed(ctx context.Context, next *successor, old *config.Config) (*Gateway, error) {
	if next.daemon != nil {
		return next.daemon, nil
	}
	d, err := s.open(next.cfg, Extras{socket: next.socket})
	for try := 1; err != nil && try < takeOverTries; try++ {
		s.Log.Error("the gateway cannot be opened, the configuration before it goes on", "error", err)
		if try > 1 && !backoff.Sleep(ctx, takeOverPause) {
			break
		}
		d, err = s.open(old, Extras{})
	}
	return d, err
}

// reread loads the configuration again, and goes as far with it as is possible
// beside the gateway that runs; nil where that one goes on.
func (s *Service) reread(old *config.Config) *successor {
	next, err := config.Load(s.Path)
	if err == nil && next.Digest == old.Digest && next.FilesDigest == old.FilesDigest {
		s.Log.Info("configuration is unchanged")
		return nil
	}
	var ready *successor
	if err == nil {
		ready, err = s.prepare(next, old)
	}
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			s.Log.Error("configuration is wrong, the old one stays in force", "problem", p.String())
		}
		return nil
	case err != nil:
		s.Log.Error("no gateway can be opened with the configuration, the old one stays in force", "error", err)
		return nil
	}
	s.Log.Info("configuration has changed, starting over with it", "digest", next.Digest)
	return ready
}

// prepare finds out whether a gateway can be opened. One with a place of its own
// on the disk is opened: nothing that it has is in use. One that takes over
// journal and socket of the gateway that runs can only be tried as far as these.
func (s *Service) prepare(next, old *config.Config) (*successor, error) {
	doubts, wrong := configured.CheckFence(next)
	for _, p := range doubts {
		s.Log.Warn("configuration is doubtful", "problem", p.String())
	}
	if _, err := os.Stat(next.Tags.RosterFile); err == nil { // it may be missing for a while
		wrong = append(wrong, configured.CheckRoster(next)...)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	if err := (&Gateway{cfg: next}).openClock(); err != nil {
		return nil, err
	}
	if sameFolder(next.Gateway.StateDir, old.Gateway.StateDir) {
		return &successor{cfg: next}, nil
	}
	d, err := s.open(next, Extras{beside: true})
	if err != nil {
		return nil, err
	}
	return &successor{cfg: next, daemon: d}, nil
}

// sameFolder reports whether two paths lead to one folder.
func sameFolder(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
