package control

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"syscall"
	"time"

	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/person"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
)

// Daemon is what a running gateway answers with.
type Daemon struct {
	Health func() presence.Health
	// Owner is the user that the gateway runs as. Only this one and root may
	// have people forgotten, receivers recorded, a recap made, and the mocked hardware driven; all
	// who can open the socket may do the rest.
	Owner int
	// Watch passes lines, each a WatchLine, until the context ends or a line
	// cannot be passed on. Caller tells of its context, as of those that follow,
	// who asks.
	Watch func(ctx context.Context, line func(WatchLine) error) error
	// Export writes the journal's events, or the recap of a day. Who asks is
	// the user id on the other end of the socket.
	Export func(ctx context.Context, w io.Writer, x export.Request, who int) error
	// Record writes what a receiver hears, as a file of package capture, until the
	// context ends.
	Record func(ctx context.Context, receiver string, w io.Writer) error
	// Forget removes a person's records for good.
	Forget func(context.Context, person.Person) (Forgotten, error)
	// Verify writes what `gatewayd verify` prints in a language, and reports whether
	// the journal is whole.
	Verify func(ctx context.Context, w io.Writer, l language.Language) (bool, error)
	// Reloading, if set, reports that the daemon ends because another with another
	// configuration takes its place.
	Reloading func() bool
	// Hardware is nil unless the configuration names a sim bus, Clock unless
	// it names the sim clock.
	Hardware *sim.Hardware
	Clock    *clock.Sim
}

// WatchLine is one thing that happened, or how the gateway is: exactly one
// field is set.
type WatchLine struct {
	Time   *string          `json:"time"`
	Tap    *WatchTap        `json:"tap,omitempty"`
	Event  json.RawMessage  `json:"event,omitempty"`
	Health *presence.Health `json:"health,omitempty"`
	Reload bool             `json:"reload,omitempty"` // the last line: the daemon reloads, and can be asked again
}

// WatchTap is one tap and its answer.
type WatchTap struct {
	presence.Answer
	TookMS float64 `json:"took_ms"`
}

// instants are the fields of a request for an export that are times, by their name
// in its query.
func instants(x *export.Request) map[string]*time.Time {
	return map[string]*time.Time{"since": &x.Since, "until": &x.Until, "day": &x.Day, "month": &x.Month}
}

// selectedPath is where exports of a month or of some badges are asked for. A daemon
// of an earlier version would pass over these words at /export and answer with all that
// it has, of everybody; this path it does not know.
const selectedPath = "/export/selected"

// sealedPath is where sealed exports are asked for, for the same reason.
const sealedPath = "/export/sealed"

// ExportPath is what to ask the daemon for to get an export, with Client.Copy.
func ExportPath(x export.Request) string {
	q := url.Values{"format": {x.Format}, "lang": {x.Lang}}
	for key, at := range instants(&x) {
		if !at.IsZero() {
			q.Set(key, at.Format(time.RFC3339Nano))
		}
	}
	path := "/export"
	if !x.Month.IsZero() || len(x.Badges) > 0 {
		q["badge"] = x.Badges
		path = selectedPath
	}
	if x.Sealed {
		path = sealedPath
	}
	return path + "?" + q.Encode()
}

// Handler answers requests for a daemon.
func Handler(d Daemon) http.Handler {
	mux := http.NewServeMux()
	// The document that the city gets, and the same with its alerts in words.
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		h := d.Health()
		h.AlertTexts = nil
		writeJSON(w, h)
	})
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, d.Health())
	})
	mux.HandleFunc("GET /alive", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /watch", d.watch)
	mux.HandleFunc("GET /export", d.export)
	mux.HandleFunc("GET "+selectedPath, d.export)
	mux.HandleFunc("GET "+sealedPath, d.export)
	mux.HandleFunc("GET /verify", d.verify)
	mux.HandleFunc("GET /record", d.owned(d.record))
	mux.HandleFunc("POST /forget", d.owned(d.forget))
	mux.HandleFunc("POST /sim/tap", d.owned(d.tap))
	mux.HandleFunc("POST /sim/reader", d.owned(d.breakReader))
	mux.HandleFunc("POST /sim/clock", d.owned(d.setClock))
	// For whoever looks for what hangs or grows: the profiles of net/http/pprof.
	mux.HandleFunc("GET /debug/pprof/", d.owned(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", d.owned(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", d.owned(pprof.Trace))
	return mux
}

// ErrOwnerOnly refuses what only root and the gateway's own user may do.
var ErrOwnerOnly error = language.Errorf("only root and the gateway's own user may do that: call it with sudo", "hanya root dan pengguna gateway sendiri yang boleh melakukannya: jalankan dengan sudo")

// owns reports whether a request comes from root or the gateway's own user, or
// over no socket at all: from this process itself.
func (d Daemon) owns(r *http.Request) bool {
	if !overSocket(r.Context()) {
		return true
	}
	who := Caller(r.Context())
	return who == 0 || who != Nobody && who == d.Owner
}

// OwnerOnly returns ErrOwnerOnly to whoever is neither root nor the user that owns
// the state directory. Commands ask it where no gateway runs that would refuse them.
func OwnerOnly(stateDir string) error {
	me := os.Geteuid()
	if me == 0 {
		return nil
	}
	info, err := os.Stat(stateDir)
	if err != nil {
		return ErrOwnerOnly
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != me {
		return ErrOwnerOnly
	}
	return nil
}

// owned refuses requests of anybody but root and the gateway's own user.
func (d Daemon) owned(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !d.owns(r) {
			refuse(w, ErrOwnerOnly, http.StatusForbidden)
			return
		}
		h(w, r)
	}
}

// The trailers tell the client whether an answer that went on is whole: its
// status was sent before it began.
const (
	trailerError   = "Gatewayd-Error"
	trailerDamaged = "Gatewayd-Damaged"
)

func (d Daemon) record(w http.ResponseWriter, r *http.Request) {
	out := &flushed{w: w}
	err := d.Record(r.Context(), r.URL.Query().Get("receiver"), out)
	// An error after the first byte is the one who recorded, and went away, or the end
	// of the daemon.
	if err == nil || out.flush != nil {
		return
	}
	refuse(w, err, http.StatusBadRequest)
}

// flushed sends each write at once. The answer begins with the first one.
type flushed struct {
	w     http.ResponseWriter
	flush func() error
}

// Write implements io.Writer.
func (f *flushed) Write(b []byte) (int, error) {
	if f.flush == nil {
		f.flush = streaming(f.w, "application/x-ndjson")
	}
	n, err := f.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, f.flush()
}

func (d Daemon) watch(w http.ResponseWriter, r *http.Request) {
	flush := streaming(w, "application/x-ndjson")
	enc := json.NewEncoder(w)
	// An error here is the watcher who went away, or the end of the daemon.
	_ = d.Watch(r.Context(), func(l WatchLine) error {
		if err := enc.Encode(l); err != nil {
			return err
		}
		return flush()
	})
	if r.Context().Err() != nil && d.Reloading != nil && d.Reloading() {
		_ = enc.Encode(WatchLine{Reload: true})
	}
}

func (d Daemon) export(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	x := export.Request{Format: q.Get("format"), Lang: q.Get("lang"), Badges: q["badge"], Sealed: r.URL.Path == sealedPath}
	for key, at := range instants(&x) {
		if v := q.Get(key); v != "" {
			t, err := time.Parse(time.RFC3339Nano, v)
			if err != nil {
				refuse(w, language.Errorf("%s: want RFC 3339", "%s: tulis menurut RFC 3339", key), http.StatusBadRequest)
				return
			}
			*at = t
		}
	}
	if x.IsRecap() && !d.owns(r) {
		refuse(w, ErrOwnerOnly, http.StatusForbidden)
		return
	}
	if err := x.CheckFormat(); err != nil {
		refuse(w, err, http.StatusBadRequest)
		return
	}
	w.Header().Set("Trailer", trailerError+", "+headerIndonesian)
	streaming(w, "application/octet-stream")
	if err := d.Export(r.Context(), w, x, Caller(r.Context())); err != nil {
		endWith(w, err)
	}
}

func (d Daemon) forget(w http.ResponseWriter, r *http.Request) {
	var p person.Person
	if !readJSON(w, r, &p) {
		return
	}
	if len(p.Badges)+len(p.Tags) == 0 {
		refuse(w, language.Errorf("no badge and no tag", "tidak ada kartu dan tidak ada tag"), http.StatusBadRequest)
		return
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // a large journal takes long; recorders in tests have no deadline
	f, err := d.Forget(r.Context(), p)
	if err != nil {
		refuse(w, err, http.StatusInternalServerError)
		return
	}
	writeJSON(w, f)
}

func (d Daemon) verify(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", trailerError+", "+headerIndonesian+", "+trailerDamaged)
	streaming(w, "text/plain")
	whole, err := d.Verify(r.Context(), w, language.Language(r.URL.Query().Get("lang")))
	if err != nil {
		endWith(w, err)
	}
	if !whole {
		w.Header().Set(trailerDamaged, "true")
	}
}

func (d Daemon) tap(w http.ResponseWriter, r *http.Request) {
	var t sim.Tap
	if !d.simulated(w) || !readJSON(w, r, &t) {
		return
	}
	if err := t.Check(); err != nil {
		refuse(w, err, http.StatusBadRequest)
		return
	}
	if _, err := d.Hardware.Reader(t.Reader); err != nil {
		refuse(w, err, http.StatusNotFound)
		return
	}
	flush := streaming(w, "application/x-ndjson")
	enc := json.NewEncoder(w)
	err := d.Hardware.Run(r.Context(), t, func(res sim.Result) {
		// A tap goes on although its answer may no longer be read: the context ends
		// then.
		_ = enc.Encode(sim.Line{Result: res})
		_ = flush()
	})
	switch {
	case err == nil:
	case r.Context().Err() == nil:
		_ = enc.Encode(simError(err))
	case d.Reloading != nil && d.Reloading():
		_ = enc.Encode(sim.Line{Reload: true})
	default:
		_ = enc.Encode(simError(language.Errorf("the gateway stops", "gateway sedang berhenti")))
	}
}

func (d Daemon) breakReader(w http.ResponseWriter, r *http.Request) {
	var f sim.ReaderFault
	if !d.simulated(w) || !readJSON(w, r, &f) {
		return
	}
	reader, err := d.Hardware.Reader(f.Reader)
	if err != nil {
		refuse(w, err, http.StatusNotFound)
		return
	}
	if err := reader.Break(f.Fault); err != nil {
		refuse(w, err, http.StatusBadRequest)
	}
}

func (d Daemon) setClock(w http.ResponseWriter, r *http.Request) {
	var c sim.ClockState
	if !readJSON(w, r, &c) {
		return
	}
	if d.Clock == nil {
		refuse(w, language.Errorf(
			`the clock is real: only [clock] source = "sim" can be set`, `jamnya sungguhan: hanya [clock] source = "sim" yang dapat diatur`), http.StatusForbidden)
		return
	}
	d.Clock.Set(c.Synced, c.Offset)
}

func (d Daemon) simulated(w http.ResponseWriter) bool {
	if d.Hardware == nil {
		refuse(w, language.Errorf(
			`the hardware is real: only a reader with bus = "sim" can be driven`, `perangkatnya sungguhan: hanya pembaca dengan bus = "sim" yang dapat dijalankan`), http.StatusForbidden)
		return false
	}
	return true
}

// streaming starts an answer that goes on for as long as it takes.
func streaming(w http.ResponseWriter, contentType string) (flush func() error) {
	w.Header().Set("Content-Type", contentType)
	c := http.NewResponseController(w)
	// Recorders in tests have no deadline to clear.
	_ = c.SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	_ = c.Flush()
	return c.Flush
}

func readJSON[T any](w http.ResponseWriter, r *http.Request, into *T) bool {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil && dec.More() {
		err = language.Errorf("more than one JSON value", "lebih dari satu nilai JSON")
	}
	if err != nil {
		refuse(w, language.Errorf("read request: %v", "baca permintaan: %v", err), http.StatusBadRequest)
		return false
	}
	return true
}

func writeJSON[T any](w http.ResponseWriter, v T) {
	w.Header().Set("Content-Type", "application/json")
	// An error here is the client who went away.
	_ = json.NewEncoder(w).Encode(v)
}
