package gateway

import (
	"context"
	"fmt"
	"strings"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/supervise"
	"presence/gatewayd/internal/tags"
)

// services are the tasks that go on while the intake stops.
func (g *Gateway) services() []supervise.Task {
	tasks := []supervise.Task{
		{Name: "journal", Run: func(ctx context.Context) error {
			if g.journal.Refused() != nil {
				return g.awaitDisk(ctx)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-g.journal.Failed():
				return supervise.Fatal(g.journal.Err())
			}
		}},
		{Name: "clock", Run: g.time.Run},
		{Name: "lamp", Run: g.door.lamp.Run},
		{Name: "power", Run: g.board.power.Run},
		{Name: "uplink", Run: g.line.Run, Pulse: g.process.systemd.Pulse("uplink")},
		{Name: "heads", Run: g.heads.Run},
		{Name: "waiting events", Run: g.checkWaiting},
		{Name: "health", Run: g.monitor.Run, Pulse: g.process.systemd.Pulse("health")},
	}
	if g.socket != nil {
		tasks = append(tasks, supervise.Task{Name: "control", Run: func(ctx context.Context) error {
			err := control.Serve(ctx, g.socket, control.Handler(g.control()), g.log)
			if ctx.Err() == nil {
				// The socket is closed now and cannot be served again.
				return supervise.Fatal(err)
			}
			return err
		}})
	}
	if g.documents.rosterFile != nil {
		tasks = append(tasks, supervise.Task{Name: "roster file", Run: g.documents.rosterFile.Run})
	}
	return tasks
}

// intake are the tasks that take in taps and fixes, and those that draw conclusions
// from them.
func (g *Gateway) intake() []supervise.Task {
	var tasks []supervise.Task
	for _, r := range g.cfg.Readers {
		open := g.readerOpener(r)
		pulse := g.process.systemd.Pulse("reader " + r.Name)
		tasks = append(tasks, supervise.Task{
			Name: "reader " + r.Name, Pulse: pulse,
			Run: func(ctx context.Context) error {
				return g.door.Run(ctx, door.Reader{Name: r.Name, Poll: r.Poll, Open: open, Beat: pulse.Beat})
			},
			Failed: func(err error) { g.door.Fault(r.Name, taskDied(err)) },
		})
	}
	if len(g.cfg.Receivers) > 0 {
		tasks = append(tasks, supervise.Task{Name: "held tags", Run: g.tags.Release})
	}
	if g.tags.staff != nil {
		tasks = append(tasks, supervise.Task{Name: "staff", Run: g.tags.staff.Run})
	}
	for _, r := range g.cfg.Receivers {
		open := g.portOpener(r)
		pulse := g.process.systemd.Pulse("receiver " + r.Name)
		tasks = append(tasks, supervise.Task{
			Name: "receiver " + r.Name, Pulse: pulse,
			Run: func(ctx context.Context) error {
				return g.tags.Run(ctx, tags.Receiver{
					Name: r.Name, Protocol: r.Protocol, Payload: r.Payload, Beat: pulse.Beat,
					Open: open, Hear: func(data []byte) { g.recorders.heard(r.Name, data) },
				})
			},
			Failed: func(err error) { g.tags.Fault(r.Name, taskDied(err)) },
		})
	}
	return tasks
}

// taskDied is the error that health shows of a reader or receiver whose task has failed.
// The log has the stack.
func taskDied(err error) error {
	return fmt.Errorf("the gateway's own task for it failed and is started again: %s", firstLine(err))
}

// firstLine leaves out the stack that a panic carries.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// conditions name the tasks that fail again each time they are started.
func (p *process) conditions() (as []alerts.Alert) {
	for _, f := range p.crew.Failing() {
		as = append(as, alerts.TaskFailing.Raise(alerts.Values{"error": firstLine(f.Err)}, f.Name))
	}
	return as
}
