package proof

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync/atomic"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// maxRevoked is how many entries a list of lost badges may have.
const maxRevoked = 50_000

// Revoked is the list of lost badges in force. The zero value is an empty one, until Use.
// Its methods may be called from any goroutine.
type Revoked struct{ current atomic.Pointer[Losses] }

// Losses is a list of lost badges that is never changed.
type Losses struct {
	badges  presence.Badges
	entries int
	names   map[string]bool // identities of badges, as in events
	serials map[string]bool // of certificates, in lower-case hex without zeros in front
}

// ParseLosses reads the body of a signed list of lost badges: each entry names a badge by
// the GUID of its certificate, by the certificate's serial number, by the UID of its card or
// by its identity here. An empty list is valid. Errors repeat none of the content.
func ParseLosses(body []byte, badges presence.Badges) (*Losses, error) {
	var entries []struct {
		GUID, Serial, UID, Badge string

		Since *time.Time // for people
		Why   string     // for people
	}
	if err := decodeStrictly(body, &entries); err != nil || entries == nil {
		return nil, errors.New(`has a wrong list: write entries of {"guid":...}, {"serial":...}, {"uid":...} or {"badge":...}, with "since" and "why" beside it, and nothing else`)
	}
	if len(entries) > maxRevoked {
		return nil, fmt.Errorf("has more than %d entries", maxRevoked)
	}
	l := &Losses{badges: badges, entries: len(entries), names: make(map[string]bool), serials: make(map[string]bool)}
	for i, e := range entries {
		named := 0
		for _, s := range []string{e.GUID, e.Serial, e.UID, e.Badge} {
			if s != "" {
				named++
			}
		}
		if named != 1 {
			return nil, fmt.Errorf("entry %d names no badge, or more than one: write one of guid, serial, uid and badge", i+1)
		}
		if err := l.add(e.GUID, e.Serial, e.UID, e.Badge); err != nil {
			return nil, fmt.Errorf("entry %d %w", i+1, err)
		}
	}
	return l, nil
}

// add takes one entry, of which exactly one field is set.
func (l *Losses) add(guid, serial, uid, badge string) error {
	switch {
	case guid != "":
		id, err := hex.DecodeString(strings.ReplaceAll(guid, "-", ""))
		if err != nil || len(id) != 16 {
			return errors.New("has a guid that is not 32 hex digits, with or without hyphens")
		}
		l.names[l.badges.Identity(id)] = true
	case serial != "":
		n, ok := new(big.Int).SetString(strings.ReplaceAll(serial, ":", ""), 16)
		if !ok || n.Sign() <= 0 || n.BitLen() > 160 { // RFC 5280, 4.1.2.2: 20 bytes at most
			return errors.New("has a serial that is not hex digits")
		}
		l.serials[n.Text(16)] = true
	case uid != "":
		id, err := card.ParseUID(uid)
		if err != nil {
			return errors.New("has a uid that is not hex digits, two for each of 4, 7 or 10 bytes")
		}
		l.names[l.badges.Identity(id.Bytes())] = true
	default:
		if !presence.IsHashedBadge(badge) {
			return errors.New(`has a badge that is not "h:" and 32 hex digits`)
		}
		l.names[strings.ToLower(badge)] = true
	}
	return nil
}

// Use puts a list in force.
func (r *Revoked) Use(l *Losses) { r.current.Store(l) }

// Has reports whether the badge with this identity (presence.Identity.Bytes, or a claim) is
// lost.
func (r *Revoked) Has(identity []byte) bool {
	l := r.current.Load()
	return l != nil && l.names[l.badges.Identity(identity)]
}

// hasSerial reports whether the certificate with this serial number is lost.
func (r *Revoked) hasSerial(n *big.Int) bool {
	l := r.current.Load()
	return l != nil && l.serials[n.Text(16)]
}

// Entries is how many badges the list in force names, false where there is none.
func (r *Revoked) Entries() (n int, ok bool) {
	l := r.current.Load()
	if l == nil {
		return 0, false
	}
	return l.entries, true
}

// decodeStrictly decodes one JSON value without unknown names.
func decodeStrictly(text []byte, into any) error {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("more than one value")
	}
	return nil
}
