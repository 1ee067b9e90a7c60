package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"strconv"
	"strings"
	"time"

	"presence/config"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/certificates"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/signed"
	"presence/gatewayd/internal/uplink"
)

// cityLine is the way to the city, and the certificates that it rests on.
type cityLine struct {
	*uplink.Uplink
	certificates *certificates.Set
}

// openLine prepares the line to the city; its task connects.
func (g *Gateway) openLine(limits uplink.Limits, log *slog.Logger) {
	g.line.certificates = openCertificates(g.cfg.MQTT)
	o := configured.Line(g.cfg)
	o.Session = g.session
	o.Journal = g.journal
	o.Times = g.time.Clock
	o.Now = g.time.Now
	o.NotBefore = g.time.NotBefore
	o.CertTime = func() time.Time {
		return certificates.Latest(g.time.CertTime(), g.time.NotBefore(), build.Time())
	}
	if g.cfg.Clock.Source != "trust" {
		o.Anchor = func(at presence.Reading, utc time.Time, within time.Duration) {
			g.time.AddAnchor(g.cityClock(), at, utc, within)
		}
	}
	if key := g.cfg.City.Key; key != nil {
		o.City = signed.City{Key: key, Dinas: g.cfg.Gateway.Dinas, Gateway: g.cfg.Gateway.ID}
	}
	o.Head = g.heads.Hear
	o.CityTime = func() (from, to time.Time) { return build.Time(), g.line.certificates.CAEnd() }
	o.BrokerCertificate = g.line.certificates.Connected
	o.Commands = g.commands()
	o.Documents = g.documents.topics()
	maps.Copy(o.Documents, g.badges.topics())
	o.Log = log
	o.Restate = g.cfg.Health.Longest()
	o.Greeted = func() { g.monitor.Refresh() }
	o.Beat = g.process.systemd.Pulse("uplink").Beat
	o.Limits = limits
	o.Dial = g.around.dial
	g.line.Uplink = uplink.New(o)
}

// openCertificates says which certificates the line rests on. Without TLS there are
// none.
func openCertificates(m config.MQTT) *certificates.Set {
	opt := certificates.Options{Read: uplink.ReadCertificates}
	if m.Broker.TLS {
		opt.CertFile, opt.CAFile = m.CertFile, m.CAFile
	}
	return certificates.New(opt)
}

// cityClock is the source of time under which the city's clock is recorded. Only a
// city that can prove who it is may say when working hours begin and end.
func (g *Gateway) cityClock() string {
	if g.cfg.City.Key != nil {
		return clock.SourceCity
	}
	return clock.SourceBroker
}

// commands are what the city may ask of a gateway, by name.
func (g *Gateway) commands() map[string]uplink.CommandFunc {
	return map[string]uplink.CommandFunc{
		"ping": func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`{"pong":true}`), nil
		},
		"report": func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.Marshal(g.monitor.Snapshot())
		},
		"identify": func(context.Context, json.RawMessage) (json.RawMessage, error) {
			if !g.door.lamp.Identify() {
				return nil, errors.New("the lamp shows it at most once in 10 s")
			}
			return json.RawMessage(`{}`), nil
		},
	}
}

// info is the document that says what this gateway is.
func (g *Gateway) info() []byte {
	i := presence.Info{
		V: 1, Gateway: g.origin.Gateway, Dinas: g.origin.Dinas, Place: g.cfg.Gateway.Place, Contact: g.cfg.Gateway.Contact,
		Version: build.Version(), Commit: build.Commit(), Go: runtime.Version(),
		Model: g.board.Model(), OS: g.board.OS(), Kernel: g.board.Kernel(),
		Boot: g.time.Now().Boot, Session: g.session, Stream: g.journal.Stream(),
		ConfigDigest: g.cfg.Digest, Schema: 1, Simulated: g.cfg.Simulated(),
		BadgeKey: configured.Badges(g.cfg).Fingerprint(),
		Readers:  []presence.InfoReader{}, Receivers: []presence.InfoReceiver{},
	}
	i.Seal = g.seal.info()
	if r, ok := build.RolledBack(g.board.ReadFile); ok {
		i.RolledBack = &presence.InfoRollback{Version: r.Bad, Package: r.Package}
	}
	for _, r := range g.cfg.Readers {
		i.Readers = append(i.Readers, presence.InfoReader{Name: r.Name, Chip: r.Chip, Bus: r.Bus})
	}
	for _, r := range g.cfg.Receivers {
		i.Receivers = append(i.Receivers, presence.InfoReceiver{Name: r.Name, Protocol: r.Protocol, Port: r.Port})
	}
	b, err := json.Marshal(i)
	if err != nil {
		panic("encode info: " + err.Error()) // it holds nothing that JSON cannot say
	}
	return b
}

// conditions are the alerts about the line that no number in health shows.
func (l *cityLine) conditions(gateway string) (as []alerts.Alert) {
	if l.Rival() {
		as = append(as, alerts.IDConflict.Raise(nil, gateway))
	}
	documents, events := l.Refused()
	as = append(as, refused(alerts.DocumentRefused, documents)...)
	as = append(as, refused(alerts.EventRefused, events)...)
	if l.Unheard() {
		return append(as, alerts.TopicsUnheard.Raise(nil))
	}
	switch denied := l.Denied(); {
	case len(denied) > 0:
		as = append(as, alerts.TopicsUnread.Raise(nil, denied...))
	case l.BatchesDenied():
		as = append(as, alerts.BatchesDenied.Raise(nil, uplink.BatchTopic))
	}
	return as
}

// refused is the alert about publications over which the broker hangs up.
func refused(kind alerts.Kind, all []uplink.Refusal) []alerts.Alert {
	if len(all) == 0 {
		return nil
	}
	var about, sizes []string
	for _, r := range all {
		about, sizes = append(about, r.Name), append(sizes, strconv.Itoa(r.Size))
	}
	return []alerts.Alert{kind.Raise(alerts.Values{"bytes": strings.Join(sizes, ", ")}, about...)}
}

// certainlyPast is the present time where it is certain, else one that has passed for
// sure.
func (g *Gateway) certainlyPast() time.Time {
	if t := g.time.Proven(g.time.Now()); t.Within(presence.Roughly) {
		return t.Time
	}
	return g.time.NotBefore()
}

// certificateConditions tell which certificates end, by the time that is certain.
func (g *Gateway) certificateConditions() []alerts.Alert {
	return g.line.certificates.Alerts(g.certainlyPast(), g.origin.Location)
}
