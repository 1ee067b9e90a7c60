package signed

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"presence/gatewayd/internal/presence"
)

const (
	// maxEnvelope is the largest envelope, in bytes: some five thousand entries
	// of a roster, and no more than the uplink passes on.
	maxEnvelope = 500_000

	// maxSerial is the largest number that every JSON library keeps exact
	// (RFC 8259, section 6).
	maxSerial = 1<<53 - 1
)

// Form is what a document must be to count here.
type Form struct {
	Kind    string // "roster", "hours", "badge-revoked" or "badge-keys"
	Body    string // what the payload calls its body
	Dinas   string
	Gateway string
}

// Document is what the city signed.
type Document struct {
	Kind    string    `json:"kind"`
	Dinas   string    `json:"dinas"`   // "*": any, then Gateway is "*" too
	Gateway string    `json:"gateway"` // "*": any of the department
	Serial  uint64    `json:"serial"`  // rises with each document of a kind
	Issued  time.Time `json:"issued"`
	Body    []byte    `json:"-"` // JSON
}

// envelope is how a document travels.
type envelope struct {
	V         int    `json:"v"`
	Payload   []byte `json:"payload"`
	Signature []byte `json:"signature"`
}

// Open reads an envelope and checks its signature and whom it is for. Before
// the signature is found right, nothing of the content is repeated in an error.
func Open(message []byte, key ed25519.PublicKey, form Form) (Document, error) {
	if len(message) > maxEnvelope {
		return Document{}, fmt.Errorf("is larger than %d bytes", maxEnvelope)
	}
	var e envelope
	if err := decodeStrictly(message, &e); err != nil || e.V != 1 || len(e.Payload) == 0 {
		return Document{}, errors.New(`is no signed document: it is not {"v":1,"payload":...,"signature":...} with base64 in both`)
	}
	if len(e.Signature) == 0 {
		return Document{}, errUnsigned
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, e.Payload, e.Signature) {
		return Document{}, errForged
	}
	d, err := read(e.Payload, form.Body)
	if err != nil {
		return Document{}, err
	}
	return d, form.check(d)
}

// decodeStrictly decodes one JSON value without unknown names.
func decodeStrictly(data []byte, into *envelope) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// read reads a payload: the header, and the body under its name.
func read(payload []byte, body string) (Document, error) {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(payload, &parts); err != nil {
		return Document{}, fmt.Errorf("has a payload that is no JSON object: %w", presence.PlainJSON(err))
	}
	header := []string{"kind", "dinas", "gateway", "serial", "issued"}
	for _, name := range append(header, body) {
		if _, there := parts[name]; !there {
			return Document{}, fmt.Errorf("has no %q", name)
		}
	}
	d := Document{Body: parts[body]}
	for name := range parts {
		if !slices.Contains(header, name) && name != body {
			return Document{}, fmt.Errorf("has %.40q, which is not known beside %q", name, body)
		}
	}
	if err := json.Unmarshal(payload, &d); err != nil {
		return Document{}, fmt.Errorf("has a wrong header: %w", presence.PlainJSON(err))
	}
	return d, nil
}

// errAddress means that a document is for another gateway.
var errAddress = errors.New("not for this one")

// check tells whether a document is of the form.
func (f Form) check(d Document) error {
	switch {
	case d.Kind != f.Kind:
		return fmt.Errorf("is of kind %.40q, not %q", d.Kind, f.Kind)
	case !f.addressed(d):
		return fmt.Errorf("is for gateway %.40q of %.40q, %w", d.Gateway, d.Dinas, errAddress)
	case d.Serial == 0 || d.Serial > maxSerial:
		return fmt.Errorf("has serial %d: it must be from 1 to %d", d.Serial, uint64(maxSerial))
	}
	return nil
}

// addressed tells whether a document is for this gateway.
func (f Form) addressed(d Document) bool {
	switch {
	case d.Dinas == "*":
		return d.Gateway == "*"
	case d.Dinas == f.Dinas:
		return d.Gateway == "*" || d.Gateway == f.Gateway
	}
	return false
}
