package pivbadge

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"presence/drivers/cardlist"
	"presence/scripts/city"
)

// Revocation is an entry of the list of revoked badges. One of its first four fields is
// set: what was revoked.
type Revocation struct {
	GUID   *uuid.UUID // all certificates of a badge
	Serial *big.Int   // one certificate
	Badge  string     // "h:" and 32 hex digits: an identity at one gateway
	UID    []byte     // any card, also one without a certificate

	Since time.Time // what was shown before counts; zero: nothing of it does
	Why   string    // one word, may be empty
}

// entry is a Revocation as it is written.
type entry struct {
	GUID   string     `json:"guid,omitempty"`
	Serial string     `json:"serial,omitempty"`
	Badge  string     `json:"badge,omitempty"`
	UID    string     `json:"uid,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	Why    string     `json:"why,omitempty"`
}

var (
	identity = regexp.MustCompile(`^h:[0-9a-f]{32}$`)
	oneWord  = regexp.MustCompile(`^[a-z-]{1,32}$`)
)

// maxSerial is the longest serial number that a certificate may have, in hex digits
// (RFC 5280, 4.1.2.2).
const maxSerial = 40

// ParseRevoked reads the list of revoked badges: the JSON array that ca.sh badge-revoke
// writes, a payload that has it as `revoked`, or the signed document around that, whose
// signature is not checked here. Errors name the entry by its number.
func ParseRevoked(text []byte) ([]Revocation, error) {
	list, err := revokedArray(text)
	if err != nil {
		return nil, err
	}
	var entries []entry
	d := json.NewDecoder(bytes.NewReader(list))
	d.DisallowUnknownFields()
	if err := d.Decode(&entries); err != nil || entries == nil || d.More() {
		return nil, fmt.Errorf("read revoked badges: want a JSON array of objects with guid, serial, badge or uid, and since and why: %w", cmp.Or(err, errors.New("it is none")))
	}
	revoked := make([]Revocation, len(entries))
	for i, e := range entries {
		if revoked[i], err = e.parse(); err != nil {
			return nil, fmt.Errorf("read revoked badges: entry %d: %w", i+1, err)
		}
	}
	return revoked, nil
}

// revokedArray finds the list in what may be around it.
func revokedArray(text []byte) ([]byte, error) {
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		return text, nil
	}
	var around struct {
		Payload []byte
		Revoked json.RawMessage
	}
	if err := json.Unmarshal(text, &around); err != nil {
		return nil, fmt.Errorf("read revoked badges: %w", err)
	}
	if around.Payload != nil {
		payload := around.Payload
		around.Payload = nil
		if err := json.Unmarshal(payload, &around); err != nil {
			return nil, fmt.Errorf("read revoked badges: the payload of the document: %w", err)
		}
	}
	if around.Revoked == nil {
		return nil, errors.New(`read revoked badges: there is no "revoked" in it`)
	}
	return around.Revoked, nil
}

func (e entry) parse() (r Revocation, err error) {
	n := 0
	for _, said := range []string{e.GUID, e.Serial, e.Badge, e.UID} {
		if said != "" {
			n++
		}
	}
	if n != 1 {
		return r, fmt.Errorf("has %d of guid, serial, badge and uid: want one", n)
	}
	if e.Why != "" && !oneWord.MatchString(e.Why) {
		return r, errors.New("why is not one word of a-z")
	}
	r.Why = e.Why
	if e.Since != nil {
		r.Since = *e.Since
	}
	switch {
	case e.GUID != "":
		guid, err := ParseGUID(e.GUID)
		r.GUID = &guid
		return r, err
	case e.Serial != "":
		raw, ok := new(big.Int).SetString(e.Serial, 16)
		if !ok || len(e.Serial) > maxSerial || raw.Sign() <= 0 || strings.HasPrefix(e.Serial, "+") {
			return r, errors.New("serial is not a certificate's serial number in hex")
		}
		r.Serial = raw
	case e.Badge != "":
		if !identity.MatchString(e.Badge) {
			return r, errors.New(`badge is not "h:" and 32 hex digits`)
		}
		r.Badge = e.Badge
	default:
		uid, err := cardlist.ParseHex(e.UID)
		if err != nil {
			return r, errors.New("uid is not the fixed UID of a card, 8, 14 or 20 hex digits")
		}
		r.UID = uid.Bytes()
	}
	return r, nil
}

// FormatRevoked writes the list as the body of a document for a gateway: with the gateway's
// badge key, UIDs become the identities that they have there, so that nobody reads card
// numbers on the topic. Without one they stay what they are.
func FormatRevoked(revoked []Revocation, key *[32]byte) ([]byte, error) {
	entries := make([]entry, len(revoked))
	for i, r := range revoked {
		e := entry{Badge: r.Badge, Why: r.Why}
		if !r.Since.IsZero() {
			e.Since = &r.Since
		}
		switch {
		case r.GUID != nil:
			e.GUID = r.GUID.String()
		case r.Serial != nil:
			e.Serial = hex.EncodeToString(r.Serial.Bytes())
		case r.UID != nil && key != nil:
			e.Badge = city.BadgeIdentity(*key, r.UID)
		case r.UID != nil:
			e.UID = strings.ToUpper(hex.EncodeToString(r.UID))
		}
		entries[i] = e
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return nil, fmt.Errorf("write revoked badges: %w", err)
	}
	return text, nil
}
