package evidence

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"presence/scripts/city"
	"presence/scripts/city/internal/pivbadge"
)

// Checker checks events, and remembers what it has seen so that nothing proves two taps.
type Checker struct {
	authority *pivbadge.Authority
	revoked   []pivbadge.Revocation
	key       *[32]byte // the city's badge key; nil: identities are not compared
	gateway   *regexp.Regexp

	badges  map[pivbadge.Fingerprint]checked
	randoms map[[16]byte]key          // of proofs that hold
	proofs  map[key][sha256.Size]byte // what was proven under this id
	own     map[string]*[32]byte      // badge keys of gateways
	Counts  Counts
}

// checked is what was found out about a certificate.
type checked struct {
	badge pivbadge.Badge
	err   error
}

// Counts is what a Checker has seen.
type Counts struct {
	Events    int // of all kinds
	Hold      int // taps whose proof holds
	Undecided int // of those, taps whose time is not known well enough to compare it with the certificate's
	Failed    int // what does not hold, and lines that are no event
	Desfire   int // taps that were proven to the gateway, and to nobody later
	Plain     int // taps that prove nothing: a number was shown
	Unmatched int // of Hold: identities that were not compared with the certificate
}

// NewChecker makes a checker. Without the city's badge key, hashed identities are not
// compared with the certificates.
func NewChecker(a *pivbadge.Authority, revoked []pivbadge.Revocation, badgeKey *[32]byte) *Checker {
	return &Checker{
		authority: a, revoked: revoked, key: badgeKey, gateway: gatewayID(),
		badges: make(map[pivbadge.Fingerprint]checked), randoms: make(map[[16]byte]key),
		proofs: make(map[key][sha256.Size]byte), own: make(map[string]*[32]byte),
	}
}

// Finding is what is to be said of an event; the zero value where nothing is.
type Finding struct {
	ID    string // of the event; "" where it has none that can be read
	Fails bool   // the event does not hold what it says
	Why   string
}

// Check checks a line: an event as JSON. It holds nothing of the line afterwards.
func (c *Checker) Check(line []byte) Finding {
	e, err := readLine(line)
	if err != nil {
		c.Counts.Failed++
		return Finding{Fails: true, Why: err.Error()}
	}
	c.Counts.Events++
	if e.Kind != "badge" {
		return Finding{}
	}
	if e.Assurance != "authenticated-piv" && e.Proof == nil {
		if e.Assurance == "authenticated-desfire" {
			c.Counts.Desfire++
		} else {
			c.Counts.Plain++
		}
		return Finding{}
	}
	k, err := e.key()
	if err != nil {
		c.Counts.Failed++
		return Finding{Fails: true, Why: err.Error()}
	}
	note, err := c.proven(&e, k)
	if err != nil {
		c.Counts.Failed++
		return Finding{k.String(), true, err.Error()}
	}
	c.Counts.Hold++
	if note != "" {
		c.Counts.Undecided++
		return Finding{k.String(), false, note}
	}
	return Finding{}
}

// proven checks a tap with a PIV badge. The note says what could not be decided.
func (c *Checker) proven(e *event, k key) (note string, err error) {
	switch {
	case e.Assurance != "authenticated-piv":
		return "", fmt.Errorf("it has a proof, and says %.40q", e.Assurance)
	case e.Proof == nil:
		return "", errors.New("it says authenticated-piv, and has no proof")
	case e.BootMS == nil:
		return "", errors.New("it has no boot_ms, of which the proof is made")
	case !c.gateway.MatchString(e.Gateway):
		return "", errors.New("it does not name its gateway")
	}
	p, err := e.Proof.read()
	if err != nil {
		return "", err
	}
	badge, err := c.badge(p.certificate)
	if err != nil {
		return "", err
	}
	if !verify(badge.Key, e, k, p) {
		return "", errors.New("the signature is not of the badge's key for this tap")
	}
	if err := c.once(k, p); err != nil {
		return "", err
	}
	if err := c.matches(e, badge); err != nil {
		return "", err
	}
	at, err := e.span()
	if err != nil {
		return "", err
	}
	if err := c.notRevoked(e, badge, at); err != nil {
		return "", err
	}
	return within(badge, at)
}

// badge is the badge with this certificate.
func (c *Checker) badge(f pivbadge.Fingerprint) (pivbadge.Badge, error) {
	known, ok := c.badges[f]
	if !ok {
		certificate := c.authority.Badge(f)
		if certificate == nil { // not remembered: a file could name any number of them
			return pivbadge.Badge{}, fmt.Errorf("the certificate %s is not among those of -certificates", hex.EncodeToString(f[:]))
		}
		known.badge, known.err = c.authority.Check(certificate)
		c.badges[f] = known
	}
	return known.badge, known.err
}

// verify reports whether the badge's key signed the nonce of this tap:
// SHA-256(random || gateway || stream || boot_ms), with a key of P-384 SHA-384 of the same.
func verify(badge *ecdsa.PublicKey, e *event, k key, p proof) bool {
	text := append(p.random[:], e.Gateway...)
	text = append(text, k.stream[:]...)
	text = binary.BigEndian.AppendUint64(text, *e.BootMS)
	if badge.Curve == elliptic.P384() {
		nonce := sha512.Sum384(text)
		return ecdsa.VerifyASN1(badge, nonce[:], p.signature)
	}
	nonce := sha256.Sum256(text)
	return ecdsa.VerifyASN1(badge, nonce[:], p.signature)
}

// once makes sure that a proof stands for one tap, and a tap for one proof. The same event
// may come again: a line broke, or its time has become better known.
func (c *Checker) once(k key, p proof) error {
	if before, seen := c.randoms[p.random]; seen && before != k {
		return fmt.Errorf("its random number is that of %s: one proof for two taps", before)
	}
	whole := sha256.New()
	whole.Write(p.random[:])
	whole.Write(p.certificate[:])
	whole.Write(p.signature)
	sum := [sha256.Size]byte(whole.Sum(nil))
	if before, seen := c.proofs[k]; seen && before != sum {
		return errors.New("it came before with another proof")
	}
	c.randoms[p.random], c.proofs[k] = k, sum
	return nil
}

// matches compares the badge's identity in the event with the certificate's GUID.
func (c *Checker) matches(e *event, badge pivbadge.Badge) error {
	if strings.HasPrefix(e.Badge, "h:") {
		own := c.gatewayKey(e.Gateway)
		if own == nil {
			c.Counts.Unmatched++
			return nil
		}
		if e.Badge == city.BadgeIdentity(*own, badge.GUID[:]) {
			return nil
		}
	} else if e.Badge == strings.ToUpper(hex.EncodeToString(badge.GUID[:])) {
		return nil
	}
	return errors.New("its badge is not that of the certificate")
}

// maxGateways bounds how many gateways' keys are remembered.
const maxGateways = 10_000

func (c *Checker) gatewayKey(gateway string) *[32]byte {
	if c.key == nil {
		return nil
	}
	own, ok := c.own[gateway]
	if !ok {
		made := city.GatewayBadgeKey(*c.key, gateway)
		own = &made
		if len(c.own) < maxGateways {
			c.own[gateway] = own
		}
	}
	return own
}

// notRevoked looks the badge up in the list of revoked ones. A tap that may have been after
// the badge was revoked does not hold.
func (c *Checker) notRevoked(e *event, badge pivbadge.Badge, at span) error {
	for _, r := range c.revoked {
		hit := r.GUID != nil && *r.GUID == badge.GUID ||
			r.Serial != nil && r.Serial.Cmp(badge.Certificate.SerialNumber) == 0 ||
			r.Badge != "" && r.Badge == e.Badge ||
			r.UID != nil && city.GUIDOf(r.UID) == badge.GUID
		switch {
		case !hit || !r.Since.IsZero() && at.known() && at.until.Before(r.Since):
			continue
		case r.Since.IsZero():
			return errors.New("its badge was revoked" + reason(r))
		case !at.known():
			return fmt.Errorf("its badge was revoked on %s%s, and nobody knows whether the tap was before", r.Since.Format(time.RFC3339), reason(r))
		case at.from.Before(r.Since):
			return fmt.Errorf("its badge was revoked on %s%s, within the bounds of the tap's time", r.Since.Format(time.RFC3339), reason(r))
		}
		return fmt.Errorf("its badge had been revoked on %s%s", r.Since.Format(time.RFC3339), reason(r))
	}
	return nil
}

func reason(r pivbadge.Revocation) string {
	if r.Why == "" {
		return ""
	}
	return " (" + r.Why + ")"
}

// within compares the tap's time with that in which the certificate was valid.
func within(badge pivbadge.Badge, at span) (note string, err error) {
	switch {
	case !at.known():
		return "holds, but its time is unknown: whether the certificate was valid then is not", nil
	case at.until.Before(badge.From):
		return "", fmt.Errorf("its certificate was valid only from %s", badge.From.UTC().Format(time.RFC3339))
	case at.from.After(badge.Until):
		return "", fmt.Errorf("its certificate had ended on %s", badge.Until.UTC().Format(time.RFC3339))
	case at.from.Before(badge.From):
		return "holds, but the certificate began within the bounds of its time, " + badge.From.UTC().Format(time.RFC3339), nil
	case at.until.After(badge.Until):
		return "holds, but the certificate ended within the bounds of its time, " + badge.Until.UTC().Format(time.RFC3339), nil
	}
	return "", nil
}
