// Package chaintest invents what gateways would have recorded: chains of events of all
// kinds with their links and seals, made from the contract alone, for tests of what checks
// them.
package chaintest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Event is an event as JSON has it. Numbers are float64, int or json.Number.
type Event map[string]any

// Mutable are the members that no link holds: itself, and what a correction may change.
var Mutable = []string{"link", "rev", "time", "time_quality", "time_error_ms", "time_min", "time_max"}

// JSON is the event on a line.
func (e Event) JSON() string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]any(e)); err != nil {
		panic(err) // a value that this package has not made
	}
	return strings.TrimSpace(b.String())
}

// Clone is a deep copy, with all numbers as they are written.
func (e Event) Clone() Event { return Parse(e.JSON()) }

// Parse reads a line.
func Parse(line string) Event {
	var e Event
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&e); err != nil {
		panic(err) // not a line of this package
	}
	return e
}

// Core is what the event's link rests on. encoding/json sorts the members of a map and
// writes numbers as RFC 8785 wants it, as long as names are ASCII and strings hold none of
// U+2028 and U+2029.
func (e Event) Core() string {
	core := maps.Clone(e)
	for _, name := range Mutable {
		delete(core, name)
	}
	for name, v := range core {
		core[name] = plain(v)
	}
	return core.JSON()
}

// plain has numbers as numbers, not as they were written.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case map[string]any:
		all := map[string]any{}
		for name, member := range v {
			all[name] = plain(member)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i, member := range v {
			all[i] = plain(member)
		}
		return all
	}
	return v
}

// Link is the event's link behind another one, both in hexadecimal digits.
func (e Event) Link(before string) string {
	raw, err := hex.DecodeString(before)
	if err != nil {
		panic(err) // a link of this package
	}
	core := sha256.Sum256([]byte(e.Core()))
	both := sha256.Sum256(append(raw, core[:]...))
	return hex.EncodeToString(both[:16])
}

// NoLink stands before the first event of a chain.
var NoLink = strings.Repeat("0", 32)

// Gateway is one that records.
type Gateway struct {
	Name string
	Key  ed25519.PrivateKey
	// Events in the order of the journal, each once.
	Events []Event
	Newest string // the link of the last of them

	random *rand.Rand
	stream string
	seq    int
	boot   string
	began  time.Time // the boot
	now    time.Duration
	number int // of streams
}

// New is a gateway that has recorded nothing. Its key, ids and all that it will record
// depend on the seed alone.
func New(name string, seed uint64) *Gateway {
	g := &Gateway{Name: name, Newest: NoLink, random: rand.New(rand.NewPCG(seed, 1)), began: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)}
	g.Key = NewKey(seed)
	return g
}

// NewKey is a key that depends on the seed alone.
func NewKey(seed uint64) ed25519.PrivateKey {
	digest := sha256.Sum256([]byte(strconv.FormatUint(seed, 10)))
	return ed25519.NewKeyFromSeed(digest[:])
}

// PublicPEM is a key's public half, as a file of keys has it.
func PublicPEM(t testing.TB, key ed25519.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// KeyID is how seals name a key.
func KeyID(key ed25519.PrivateKey) string {
	digest := sha256.Sum256(key.Public().(ed25519.PublicKey))
	return hex.EncodeToString(digest[:8])
}

func (g *Gateway) uuid(version byte) string {
	var b [16]byte
	for i := range b {
		b[i] = byte(g.random.Uint32())
	}
	b[6], b[8] = version<<4|b[6]&15, 0x80|b[8]&63
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Boot has the machine start anew, an hour later.
func (g *Gateway) Boot() {
	g.began = g.began.Add(g.now + time.Hour)
	g.now = time.Second
	g.boot = g.uuid(4)
}

// At is when the present boot's clock shows so many milliseconds.
func (g *Gateway) At(bootMS int) string {
	return g.began.Add(time.Duration(bootMS) * time.Millisecond).In(time.FixedZone("", 7*3600)).Format("2006-01-02T15:04:05.000Z07:00")
}

// Add records an event, and returns it.
func (g *Gateway) Add(kind string, body Event) Event {
	g.seq++
	g.now += time.Duration(g.random.IntN(20_000)+1) * time.Millisecond
	ms := int(g.now.Milliseconds())
	e := Event{
		"v": 1, "id": fmt.Sprintf("%s-%d", g.stream, g.seq), "gateway": g.Name, "dinas": "dinkes", "stream": g.stream, "seq": g.seq,
		"rev": 0, "kind": kind, "boot": g.boot, "boot_ms": ms, "time": g.At(ms), "time_quality": "synced", "time_error_ms": 1.5,
	}
	maps.Copy(e, body)
	if kind == "seal" {
		e["link"] = g.Newest
	}
	g.Newest = e.Link(g.Newest)
	if kind != "seal" {
		e["link"] = g.Newest
	}
	g.Events = append(g.Events, e)
	return e
}

// Start begins a stream.
func (g *Gateway) Start(clean bool) Event {
	if g.boot == "" {
		g.Boot()
	}
	var previous any
	if g.stream != "" {
		previous = map[string]any{"stream": g.stream, "seq": g.seq, "clean": clean, "link": g.Newest}
	}
	g.number++
	id := g.uuid(7)
	g.stream, g.seq = fmt.Sprintf("01964c%02x%s", g.number, id[8:]), 0
	return g.Add("start", Event{"previous": previous, "version": "v1"})
}

// Seal signs the newest link. The clock was told the time just before.
func (g *Gateway) Seal() Event { return g.SealWith(g.Key) }

// SealWith signs with another key.
func (g *Gateway) SealWith(key ed25519.PrivateKey) Event {
	ms := int(g.now.Milliseconds())
	return g.Add("seal", Event{
		"upto":    g.seq,
		"anchors": []any{map[string]any{"boot_ms": ms, "time": g.At(ms), "error_ms": 0.5, "source": "ntp"}},
		"key":     KeyID(key),
		"sig":     Sign(key, g.Name, g.stream, g.seq, g.Newest),
	})
}

// Sign is a seal's signature.
func Sign(key ed25519.PrivateKey, gateway, stream string, upto int, link string) string {
	text := strings.Join([]string{"gatewayd seal v1", gateway, stream, strconv.Itoa(upto), link}, "\n")
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
}

// Lose takes the last n events away, and returns the range that a gap names them by. They
// must be of one stream, and not all of it.
func (g *Gateway) Lose(n int) map[string]any {
	before := g.Events[len(g.Events)-n-1]["link"]
	g.Events = g.Events[:len(g.Events)-n]
	return map[string]any{"stream": g.stream, "from": g.seq - n + 1, "to": g.seq, "before": before, "link": g.Newest}
}

// Lines are events as lines.
func Lines(events ...Event) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.JSON()
	}
	return all
}

// Certificate is a certificate of a key's public half, signed by itself.
func Certificate(t testing.TB, key ed25519.PrivateKey, name string) []byte {
	t.Helper()
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(nil, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
