package main_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// event is one line of what a checker reads.
type event map[string]any

// notInCore are the members that a correction may change, and the link itself.
var notInCore = []string{"link", "rev", "time", "time_quality", "time_error_ms", "time_min", "time_max"}

// core is the canonical form on which an event's link rests.
func core(e event) []byte {
	rest := maps.Clone(e)
	for _, name := range notInCore {
		delete(rest, name)
	}
	text, err := json.Marshal(rest)
	if err != nil {
		panic(err)
	}
	value := jsontext.Value(text)
	if err := value.Canonicalize(); err != nil {
		panic(err)
	}
	return value
}

// recorder writes down events as a gateway does, from the words of the contract alone.
type recorder struct {
	gateway string
	key     ed25519.PrivateKey
	now     time.Time

	streams, boots int
	stream, boot   string
	booted         time.Time
	seq            int
	link           []byte // of the newest event
	anchors        []any
	events         []event
}

func newRecorder(gateway string) *recorder {
	seed := sha256.Sum256([]byte(gateway))
	return &recorder{
		gateway: gateway, key: ed25519.NewKeyFromSeed(seed[:]), link: make([]byte, 16),
		now: time.Date(2026, 11, 2, 6, 50, 0, 0, time.FixedZone("", 7*3600)),
	}
}

// writeKey leaves the public key where a checker looks for it.
func (r *recorder) writeKey(t *testing.T, dir string) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(r.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := "# of " + r.gateway + "\n" + string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err := os.WriteFile(filepath.Join(dir, r.gateway+".pem"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// starts is a boot of the Pi.
func (r *recorder) starts() {
	r.boots++
	r.boot = fmt.Sprintf("b0071d00-0000-4000-8000-%012d", r.boots)
	r.booted = r.now.Add(-20 * time.Second)
}

// bootMS is the clock of the boot.
func (r *recorder) bootMS() int64 { return r.now.Sub(r.booted).Milliseconds() }

// start begins a stream.
func (r *recorder) start(clean bool) event {
	var previous any
	if r.stream != "" {
		previous = map[string]any{"stream": r.stream, "seq": r.seq, "clean": clean, "link": hex.EncodeToString(r.link)}
	}
	r.streams++
	id := fmt.Sprintf("%012x", r.now.UnixMilli())
	r.stream = fmt.Sprintf("%s-%s-7000-80%s-%012d", id[:8], id[8:], r.gateway[len(r.gateway)-2:], r.streams)
	r.seq = 0
	return r.add("start", event{"previous": previous, "version": "v1.2.3"})
}

// synced is a moment at which the clock learned the time.
func (r *recorder) synced() {
	r.anchors = append(r.anchors, map[string]any{
		"boot_ms": r.bootMS(), "time": r.now.Format("2006-01-02T15:04:05.000Z07:00"), "error_ms": 3.25, "source": "ntp",
	})
}

// add records an event.
func (r *recorder) add(kind string, fields event) event {
	r.seq++
	r.now = r.now.Add(1700 * time.Millisecond)
	e := event{
		"v": 1, "id": fmt.Sprintf("%s-%d", r.stream, r.seq), "gateway": r.gateway, "dinas": "dinkes",
		"stream": r.stream, "seq": r.seq, "rev": 0, "kind": kind, "boot": r.boot, "boot_ms": r.bootMS(),
		"time": r.now.Format("2006-01-02T15:04:05.000Z07:00"), "time_quality": "synced", "time_error_ms": 3.5,
	}
	maps.Copy(e, fields)
	digest := sha256.Sum256(core(e))
	both := sha256.Sum256(append(bytes.Clone(r.link), digest[:]...))
	if kind != "seal" {
		e["link"] = hex.EncodeToString(both[:16])
	}
	r.link = both[:16]
	r.events = append(r.events, e)
	return e
}

// seal signs the chain up to the newest event.
func (r *recorder) seal() event {
	link := hex.EncodeToString(r.link)
	text := strings.Join([]string{"gatewayd seal v1", r.gateway, r.stream, fmt.Sprint(r.seq), link}, "\n")
	public := sha256.Sum256(r.key.Public().(ed25519.PublicKey))
	anchors := r.anchors
	if anchors == nil {
		anchors = []any{}
	}
	r.anchors = nil
	return r.add("seal", event{
		"upto": r.seq, "link": link, "anchors": anchors, "key": hex.EncodeToString(public[:8]),
		"sig": base64.StdEncoding.EncodeToString(ed25519.Sign(r.key, []byte(text))),
	})
}

func (r *recorder) tap(n int) event {
	return r.add("badge", event{
		"reader": "door", "badge": fmt.Sprintf("h:%032x", n), "card": "mifare-classic-1k", "assurance": "uid",
		"tag_check": map[string]any{"tag": "kenwood:100-1001", "state": "near", "distance_m": 17.25, "age_s": 3},
	})
}

func (r *recorder) tag(n int) event {
	return r.add("tag", event{
		"receiver": "yard", "tag": "waypoint:Pos \"é€\U0001d11e\" <1>", "lat": -7.9778 + float64(n)/111200, "lon": 112.634, "accuracy_m": nil,
		"fix_time": r.now.Format("2006-01-02T15:04:05.000Z07:00"), "fix": "live", "zone": "inside", "rssi": -92, "snr": 6.5,
	})
}

// lose takes events of the present stream away, and names them in a gap as a gateway does.
func (r *recorder) lose(reason string, from, to int) {
	before, link := "", ""
	kept := r.events[:0:0]
	for _, e := range r.events {
		if e["stream"] != r.stream || e["seq"].(int) < from || e["seq"].(int) > to {
			kept = append(kept, e)
		}
		if e["stream"] == r.stream && e["seq"] == from-1 {
			before = e["link"].(string)
		}
		if e["stream"] == r.stream && e["seq"] == to {
			link = e["link"].(string)
		}
	}
	r.events = kept
	r.add("gap", event{"reason": reason, "kinds": map[string]any{"tag": to - from + 1}, "first": nil, "last": nil, "ranges": []any{
		map[string]any{"stream": r.stream, "from": from, "to": to, "before": before, "link": link},
	}})
}

// week is what a gateway records in some days: stops with and without warning, a clock that
// was set late, lost events that are named.
func week(gateway string) *recorder {
	r := newRecorder(gateway)
	for day := range 3 {
		r.starts()
		r.start(day != 2) // there was no warning before the third
		if day == 1 {
			r.events[len(r.events)-1]["time"], r.events[len(r.events)-1]["time_quality"] = nil, "unsynced"
			r.events[len(r.events)-1]["time_error_ms"] = nil
		} else {
			r.synced()
		}
		r.seal()
		for n := range 4 {
			r.tap(100*day + n)
			r.tag(100*day + n)
			if n == 1 {
				r.synced()
				r.seal()
			}
		}
		if day == 1 {
			r.lose("journal-full", 7, 8)
			bounded := r.tap(9)
			bounded["time_quality"], bounded["time_error_ms"] = "bounded", 4000
			at := r.now
			bounded["time_min"] = at.Add(-4 * time.Second).Format("2006-01-02T15:04:05.000Z07:00")
			bounded["time_max"] = at.Add(4 * time.Second).Format("2006-01-02T15:04:05.000Z07:00")
		}
		if day != 1 {
			r.seal()
		}
		r.now = r.now.Add(21 * time.Hour)
	}
	return r
}

// lines are events as an export prints them.
func lines(events ...event) []string {
	var all []string
	for _, e := range events {
		text, err := json.Marshal(map[string]any(e))
		if err != nil {
			panic(err)
		}
		all = append(all, string(text))
	}
	return all
}
