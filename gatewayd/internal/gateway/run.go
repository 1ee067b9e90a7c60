package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/supervise"
)

// process is the tasks of a gateway, and what is said of them to the service manager.
type process struct {
	systemd   *supervise.Systemd // nil: no service manager watches
	crew      *supervise.Crew
	ready     chan struct{} // closed when every task has worked
	reloading atomic.Bool   // it ends, and another gateway takes its place
}

// Run runs the gateway until the context ends (no error) or it cannot go on. It is
// ready when each task has worked once. A missing reader or broker, or a journal that
// cannot be opened, does not keep it from that.
//
// It stops from left to right: first nothing more comes in, then what came in goes to
// the disk and, as far as the line allows, to the city, and then the city learns that
// the gateway is offline. All that has the time of a farewell.
func (g *Gateway) Run(ctx context.Context) error {
	services, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServices()
	intake, stopIntake := context.WithCancel(ctx)
	defer stopIntake()

	g.line.Retain("info", g.info())
	serving, taking := g.services(), g.intake()
	bye := newFarewell()
	served := make(chan error, 1)
	go func() {
		served <- g.process.crew.Run(services, bye.left(servicesOver), serving...)
		stopIntake()
	}()
	var starting sync.WaitGroup
	starting.Go(func() {
		if !g.process.crew.Await(intake, slices.Concat(serving, taking)...) {
			return
		}
		g.log.Info("gateway is ready", "gateway", g.origin.Gateway, "version", build.Version(), "stream", g.journal.Stream().String())
		close(g.process.ready)
		g.process.systemd.Ready()
	})
	taken := g.process.crew.Run(intake, bye.left(intakeOver), taking...)
	stopIntake()
	starting.Wait()

	g.handOver(services, min(handOverFor, bye.left(handedOver)()))
	stopServices()
	return errors.Join(taken, <-served, g.closeWithin(bye.left(allOver)()))
}

// isReady reports whether every task has worked.
func (g *Gateway) isReady() bool {
	select {
	case <-g.process.ready:
		return true
	default:
		return false
	}
}

// leave says, before Run ends, that another gateway takes the place of this one.
func (g *Gateway) leave() {
	g.process.reloading.Store(true)
	g.line.Leave(presence.ReasonReload)
}
