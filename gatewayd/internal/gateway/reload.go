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

// openPatience is how long opening a gateway may take before the service manager may
// assume that it hangs: a large damaged journal on a slow card is read from end to end.
const openPatience = 5 * time.Minute

// Service runs one gateway after the other in a process, as the configuration
// changes.
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
	g, err := s.open(cfg, Options{})
	for err == nil {
		var next *successor
		if next, err = s.until(ctx, g); err != nil || next == nil {
			break
		}
		g, err = s.succeed(ctx, next, g.cfg)
	}
	lost := (*journal.Error)(nil)
	if ctx.Err() != nil && errors.Is(err, supervise.ErrStuck) && !errors.As(err, &lost) {
		s.Log.Error("stopped without waiting any longer", "error", err)
		return nil // what was taken in is on the disk
	}
	return err
}

// open opens a gateway, and tells the service manager how long that may take.
func (s *Service) open(cfg *config.Config, with Options) (g *Gateway, err error) {
	opening := s.Systemd.Pulse("opening")
	opening.Beat(openPatience)
	defer opening.Beat(-1)
	with.Systemd = s.Systemd
	supervise.Mark(context.Background(), "opening", func(context.Context) { g, err = New(cfg, s.Log, with) })
	return g, err
}

// successor is the gateway that takes the place of one that runs.
type successor struct {
	cfg     *config.Config
	gateway *Gateway     // open already; nil: it can only be opened in the other's place
	socket  net.Listener // of the other, where it could be kept
}

// close gives back what the successor has already.
func (n *successor) close() error {
	switch {
	case n.gateway != nil:
		return n.gateway.Close()
	case n.socket != nil:
		return n.socket.Close()
	}
	return nil
}

// until runs a gateway. It returns the one that is to take its place: after a reload,
// or with the same configuration once a disk that refused the journal takes it. It
// returns nil where the context ended the gateway.
func (s *Service) until(ctx context.Context, g *Gateway) (*successor, error) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, s.Systemd.Stopping)()
	reloaded := make(chan *successor, 1)
	go func() {
		next := s.awaitReload(running, g)
		reloaded <- next
		if next != nil {
			cancel()
		}
	}()
	err := g.Run(running)
	cancel()
	var next *successor
	select {
	case next = <-reloaded:
	case <-ctx.Done(): // a journal that is just being opened is left to the end of the process
	}
	if errors.Is(err, errOpens) {
		if err = nil; next == nil && ctx.Err() == nil {
			next = &successor{cfg: g.cfg}
		}
	}
	if next != nil && (err != nil || ctx.Err() != nil) {
		err, next = errors.Join(err, next.close()), nil
	}
	return next, err
}

// awaitReload waits until somebody asks to read the configuration again and a gateway
// can be opened with it, or until the gateway itself asks for a new stream. The city then
// knows that the one that runs is leaving. It returns nil when the context ends.
func (s *Service) awaitReload(ctx context.Context, g *Gateway) *successor {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.heads.anew:
			s.Log.Info("starting over, for a stream that says what the city has")
			next := &successor{cfg: g.cfg}
			next.socket = s.keepSocket(g, next)
			g.leave()
			return next
		case <-s.HUP:
		}
		ready := g.isReady()
		if ready {
			s.Systemd.Reloading()
		}
		if next := s.reread(g.cfg); next != nil {
			next.socket = s.keepSocket(g, next)
			g.leave()
			return next
		}
		if ready {
			s.Systemd.Ready()
		}
	}
}

// keepSocket keeps the control socket open for the next gateway: whoever asks between
// the two waits a moment, and is not told that nobody is there. It is nil where the
// next one has a socket of its own.
func (s *Service) keepSocket(g *Gateway, next *successor) net.Listener {
	if g.socket == nil || next.gateway != nil {
		return nil
	}
	socket, err := control.Keep(g.socket)
	if err != nil {
		s.Log.Warn("nobody answers on the control socket for a moment", "error", err)
		return nil
	}
	return socket
}

// takeOverTries is how often it is tried to open a gateway in the place of another
// one, and takeOverPause the time in between: another process that reads the journal
// just then is done soon.
const (
	takeOverTries = 5
	takeOverPause = time.Second
)

// succeed puts a gateway in the place of one that has stopped. Where that fails
// although nothing was found wrong before, the old one goes on.
func (s *Service) succeed(ctx context.Context, next *successor, old *config.Config) (*Gateway, error) {
	if next.gateway != nil {
		return next.gateway, nil
	}
	g, err := s.open(next.cfg, Options{socket: next.socket})
	for try := 1; err != nil && try < takeOverTries; try++ {
		s.Log.Error("the gateway cannot be opened, the configuration before it goes on", "error", err)
		if try > 1 && !backoff.Sleep(ctx, takeOverPause) {
			break
		}
		g, err = s.open(old, Options{})
	}
	return g, err
}

// reread loads the configuration again, and prepares a gateway with it as far as is
// possible beside the one that runs. It returns nil where that one goes on.
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

// prepare finds out whether a gateway can be opened with a configuration. Where it
// has a state directory of its own it is opened beside the running one. Where it
// shares the directory, journal and socket are in use, and all else is tried.
func (s *Service) prepare(next, old *config.Config) (*successor, error) {
	doubts, wrong := configured.CheckFence(next)
	for _, p := range doubts {
		s.Log.Warn("configuration is doubtful", "problem", p.String())
	}
	if _, err := os.Stat(next.Tags.RosterFile); err == nil { // it may be missing for a while
		wrong = append(wrong, configured.CheckRoster(next)...)
	}
	wrong = append(wrong, configured.CheckBadgeCA(next)...)
	_, wrongKey := configured.CheckSealKey(next)
	wrong = append(wrong, wrongKey...)
	wrong = append(wrong, configured.CheckJournal(next)...)
	if len(wrong) > 0 {
		return nil, wrong
	}
	if _, _, err := clockSource(next.Clock.Source, nil); err != nil {
		return nil, err
	}
	if sameFolder(next.Gateway.StateDir, old.Gateway.StateDir) {
		return &successor{cfg: next}, nil
	}
	g, err := s.open(next, Options{beside: true})
	if err != nil {
		return nil, err
	}
	return &successor{cfg: next, gateway: g}, nil
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
