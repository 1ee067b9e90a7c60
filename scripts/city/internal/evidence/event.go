package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"presence/scripts/city/internal/pivbadge"
)

// event is as much of an event as a proof is checked by: as a gateway publishes and
// exports it, or as a row of presence.latest in the city's database (at, quality, more).
type event struct {
	ID      string  `json:"id"`
	Gateway string  `json:"gateway"`
	Stream  string  `json:"stream"`
	Seq     uint64  `json:"seq"`
	Kind    string  `json:"kind"`
	BootMS  *uint64 `json:"boot_ms"`

	Time    *time.Time `json:"time"`
	Quality string     `json:"time_quality"`
	ErrorMS *float64   `json:"time_error_ms"`
	Min     *time.Time `json:"time_min"`
	Max     *time.Time `json:"time_max"`

	Badge     string `json:"badge"`
	Assurance string `json:"assurance"`
	Proof     *said  `json:"proof"`

	// What a row of the database calls otherwise.
	At         *time.Time     `json:"at"`
	RowQuality string         `json:"quality"`
	RowError   *float64       `json:"error_ms"`
	AtMin      *time.Time     `json:"at_min"`
	AtMax      *time.Time     `json:"at_max"`
	More       jsontext.Value `json:"more"`
}

// said is a proof as it is written.
type said struct {
	Random      string `json:"random"`
	Signature   string `json:"signature"`
	Certificate string `json:"certificate"`
}

// readLine reads an event from a line. Where its topic stands before it, that says which
// gateway sent it.
func readLine(line []byte) (event, error) {
	topic, object, found := bytes.Cut(line, []byte(" "))
	if !found || !bytes.HasPrefix(topic, []byte("presence/v1/")) {
		return readEvent(line)
	}
	e, err := readEvent(object)
	if err != nil {
		return e, err
	}
	if part := bytes.Split(topic, []byte("/")); len(part) < 5 || string(part[3]) != e.Gateway {
		return e, errors.New("no event of this gateway: its topic is another one's")
	}
	return e, nil
}

// readEvent reads an event. Names are case-sensitive and none may stand twice: what is
// checked must be what any other reader sees.
func readEvent(line []byte) (e event, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return e, errors.New("no event: not a JSON object as gateways write it")
	}
	if e.More.Kind() == '{' && e.Assurance == "" && e.Proof == nil {
		row := e
		row.More = nil
		if err := json.Unmarshal(e.More, &row); err != nil {
			return e, errors.New("no event: its `more` is not as gateways write it")
		}
		// What has a column counts from there.
		row.ID, row.Gateway, row.Stream, row.Seq, row.Kind, row.Badge = e.ID, e.Gateway, e.Stream, e.Seq, e.Kind, e.Badge
		e = row
	}
	if e.RowQuality != "" && e.Quality == "" {
		e.Quality, e.Time, e.ErrorMS, e.Min, e.Max = e.RowQuality, e.At, e.RowError, e.AtMin, e.AtMax
	}
	if e.Kind == "" {
		return e, errors.New("no event: it has no kind")
	}
	return e, nil
}

// key names an event.
type key struct {
	stream uuid.UUID
	seq    uint64
}

func (k key) String() string { return k.stream.String() + "-" + strconv.FormatUint(k.seq, 10) }

// key is what the event is called, which its id has to agree with where it has one.
func (e *event) key() (key, error) {
	stream, err := uuid.Parse(e.Stream)
	if err != nil || stream.String() != e.Stream || e.Seq == 0 {
		return key{}, errors.New("it has no stream and seq as gateways write them")
	}
	k := key{stream, e.Seq}
	if e.ID != "" && e.ID != k.String() {
		return key{}, errors.New("its id is not its stream and seq")
	}
	return k, nil
}

// proof is what a tap with a PIV badge leaves.
type proof struct {
	random      [16]byte
	signature   []byte
	certificate pivbadge.Fingerprint
}

// maxSignature is longer than any ECDSA signature of P-384 in DER, which has 104 bytes at
// most.
const maxSignature = 128

func (s *said) read() (p proof, err error) {
	if len(s.Random) != 2*len(p.random) || len(s.Certificate) != 2*len(p.certificate) || len(s.Signature) > 2*maxSignature {
		return p, errors.New("its proof is not of the right form")
	}
	if _, err := hex.Decode(p.random[:], []byte(s.Random)); err != nil {
		return p, errors.New("the random part of its proof is not in hex")
	}
	if _, err := hex.Decode(p.certificate[:], []byte(s.Certificate)); err != nil {
		return p, errors.New("the fingerprint in its proof is not in hex")
	}
	if p.signature, err = base64.StdEncoding.Strict().DecodeString(s.Signature); err != nil || len(p.signature) == 0 || len(p.signature) > maxSignature {
		return p, errors.New("the signature in its proof is not in base64")
	}
	return p, nil
}

// gatewayID is what a gateway may be called.
func gatewayID() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9-]{1,32}$`) }

// span is when an event was, as far as that is known. The zero value: nobody knows.
type span struct{ from, until time.Time }

func (s span) known() bool { return !s.until.IsZero() }

// maxError is more than any clock of a gateway is off.
const maxError = 100 * 365 * 24 * time.Hour

// span reads the event's time with its bounds.
func (e *event) span() (span, error) {
	switch e.Quality {
	case "unsynced":
		return span{}, nil
	case "bounded":
		if e.Min == nil || e.Max == nil || e.Max.Before(*e.Min) {
			return span{}, errors.New("its time has no bounds, and is said to have some")
		}
		return span{*e.Min, *e.Max}, nil
	case "synced", "corrected", "trusted":
		if e.Time == nil {
			return span{}, errors.New("its time is missing")
		}
		if e.ErrorMS == nil || *e.ErrorMS < 0 || *e.ErrorMS > float64(maxError/time.Millisecond) {
			return span{}, errors.New("its time has no error that could be")
		}
		off := time.Duration(*e.ErrorMS * float64(time.Millisecond))
		return span{e.Time.Add(-off), e.Time.Add(off)}, nil
	}
	return span{}, fmt.Errorf("its time is of the quality %.20q, which is none", e.Quality)
}
