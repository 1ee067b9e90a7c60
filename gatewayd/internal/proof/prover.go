package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"presence/drivers/card"
	"presence/drivers/isodep"
	"presence/drivers/piv"
	"presence/gatewayd/internal/presence"
)

// patience is all that one card may take of a door's time, its selection included.
const patience = 2 * time.Second

// Options is what a Prover needs.
type Options struct {
	Gateway  string             // its id, which a card signs
	Stream   func() presence.ID // of the events, which a card signs too
	StateDir string             // where certificates and pauses are kept
	Badges   presence.Badges    // names of badges

	Authority *Authority // nil: no PIV badge can prove anything
	// NoCA says that an authority is configured and cannot be used. Then a card that has
	// not proven who it is may be a badge all the same, and is not called a copy.
	NoCA    bool
	Revoked *Revoked // lost badges; nil: none
	Keys    *Keys    // of DESFire and NTAG 424 badges; nil: none

	// Simulated, if set, makes the keys of simulated cards, for a simulated gateway to
	// which the city has sent none.
	Simulated Simulated

	// Between is when a reading was taken: not before earliest, and not after latest. A
	// zero latest says that the time is not known, and earliest what time is past for
	// sure.
	Between func(presence.Reading) (earliest, latest time.Time)

	Log *slog.Logger
}

// Simulated makes the keys of simulated cards.
type Simulated interface {
	// KeyOf is the key of the card with this UID.
	KeyOf(uid card.UID) CardKey
	// KeyOfNumber is that of a card which shows a random UID and has this number.
	KeyOfNumber(number [16]byte) CardKey
}

// Prover asks cards to prove who they are. It is used by one goroutine for each reader.
type Prover struct {
	opt          Options
	certificates *Certificates
	pauses       *Pauses

	mu     sync.Mutex
	failed map[string]int64 // attempts, by Identity.Detail
}

// New makes a prover.
func New(opt Options) *Prover {
	if opt.Revoked == nil {
		opt.Revoked = new(Revoked)
	}
	if opt.Keys == nil {
		opt.Keys = new(Keys)
	}
	certificates, pauses := keptIn(opt.StateDir, opt.Log)
	return &Prover{opt: opt, certificates: certificates, pauses: pauses, failed: make(map[string]int64)}
}

// The words of Identity.Detail, beside those of package presence.
const (
	detailForeignCA      = "foreign-ca"      // the certificate is none of the city's badges
	detailExpired        = "expired"         // the certificate, or its authority's, is over
	detailNotYetValid    = "not-yet-valid"   // it begins later
	detailBadCertificate = "bad-certificate" // it is no certificate of a badge
	detailWrongGUID      = "wrong-guid"      // the card calls itself otherwise than its certificate
	detailAlgorithm      = "algorithm"       // the card cannot sign as its certificate says
	detailPIN            = "pin"             // the card wants a PIN before it signs
	detailSignature      = "signature"       // it did not sign this challenge with this key
	detailRevoked        = "revoked"         // the certificate is on the list of lost badges

	detailNoCA = "no-ca" // the gateway has no authority to check it by, though one is configured

	detailNoKey    = "no-key"    // the card has no key of that number, or for that purpose
	detailWrongKey = "wrong-key" // the card's key is another one
	detailLocked   = "locked"    // the card's key is locked
	detailPaused   = "paused"    // the key was wrong a short while ago, and is not tried again yet
	detailLRP      = "lrp"       // the card speaks LRP only
	detailRnd      = "rnd"       // the card's answer to the challenge is wrong
	detailMAC      = "mac"       // what the card said afterwards does not bear its signature
	detailWrongUID = "wrong-uid" // the card's UID is another one than it showed

	detailMalformed = "malformed" // an answer that no such card gives
	detailTooSlow   = "too-slow"
	detailGone      = "gone"
)

// verdict is what an attempt has come to.
type verdict struct {
	identity []byte          // what was proven; nil: nothing
	worth    card.Assurance  // of what was proven
	proof    *presence.Proof // of a signature
	detail   string          // "" where something was proven
	refuse   string          // why the card must not be let through
}

// failure is the verdict of an attempt that went wrong.
func failure(detail string) verdict { return verdict{detail: detail} }

// refusal is the verdict of one that went wrong with a badge of ours.
func refusal(detail string) verdict {
	return verdict{detail: detail, refuse: presence.ReasonNotAuthenticated}
}

// attempt is one tap of a card that says it speaks ISO/IEC 14443-4.
type attempt struct {
	*Prover
	card   card.Card
	seen   presence.Reading
	claims [][]byte // beside the UID
	linked bool     // the card has begun to speak ISO/IEC 14443-4
	done   bool     // there is a verdict
	verdict
}

// Prove talks to the card for at most 2 s and returns who it is, and how far it has proven
// that. Where nothing can be proven here, the air is not touched.
//
// An error says that the attempt came to no end: it wraps card.ErrGone, card.ErrTooSlow or
// card.ErrProtocol, or is the reader's, as of Poll. The identity beside it is the plain one,
// with what the card claimed until then. Where its Detail is "pending", the card may have
// counted a failure, and must not be asked again during this visit.
func (p *Prover) Prove(ctx context.Context, reader card.Selector, c card.Card, seen presence.Reading) (presence.Identity, error) {
	a := &attempt{Prover: p, card: c, seen: seen}
	if !p.ready(c) {
		a.blameCA()
		p.count(a.detail)
		return a.result(), nil
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := reader.Select(bounded, c, func(frames card.Frames) error {
		return isodep.Run(bounded, frames, isodep.Options{}, func(link *isodep.Link) error {
			a.linked = true
			v, err := a.talk(bounded, link)
			a.verdict, a.done = v, err == nil
			return err
		})
	})
	switch {
	case a.done: // what comes after the last answer changes nothing: the next Poll tells it again
		err = nil
	case errors.Is(err, errors.ErrUnsupported): // a reader that can only tell numbers
		a.detail, err = presence.DetailAbsent, nil
	}
	if errors.Is(err, context.DeadlineExceeded) { // ours or the caller's
		err = fmt.Errorf("%w: %w", card.ErrTooSlow, err)
	}
	if err != nil && a.detail == "" {
		a.detail = a.linkDetail(err)
	}
	a.blameCA()
	p.count(a.detail)
	return a.result(), err
}

// blameCA notes that a card had nothing to prove itself with because the gateway lacks
// what to check it by.
func (a *attempt) blameCA() {
	if a.opt.NoCA && a.card.Layer4() && a.identity == nil && (a.detail == "" || a.detail == presence.DetailAbsent) {
		a.detail = detailNoCA
	}
}

// ready reports whether a card may be able to prove something here.
func (p *Prover) ready(c card.Card) bool {
	if !c.Layer4() {
		return false
	}
	if p.opt.Authority != nil || p.opt.Simulated != nil {
		return true
	}
	return p.opt.Keys.knows(c.UID)
}

// talk tries the schemes that may fit the card. The first that proves something or fails
// by its proof is the verdict; one that the card does not offer lets the next be tried.
func (a *attempt) talk(ctx context.Context, link card.Link) (verdict, error) {
	if a.opt.Keys.knows(a.card.UID) {
		v, err := a.desfire(ctx, link, a.opt.Keys)
		if err != nil || v.detail != presence.DetailAbsent {
			return v, err
		}
	}
	if a.opt.Authority != nil {
		v, err := a.piv(ctx, link)
		if err != nil || v.detail != presence.DetailAbsent {
			return v, err
		}
	}
	if _, inForce := a.opt.Keys.Entries(); !inForce && a.opt.Simulated != nil {
		return a.simulated(ctx, link)
	}
	return failure(presence.DetailAbsent), nil
}

// result is the identity that the verdict makes.
func (a *attempt) result() presence.Identity {
	uid := a.card.UID.Bytes()
	id := presence.Identity{
		Bytes: uid, Assurance: string(a.card.Assurance()),
		Proof: a.proof, Refuse: a.refuse, Detail: a.detail,
	}
	if a.identity != nil {
		id.Bytes, id.Assurance = a.identity, string(a.worth)
	}
	claims := append([][]byte{uid}, a.claims...)
	if a.card.Assurance() != card.AssuranceRandom {
		guid := piv.GUIDOf(a.card.UID)
		claims = append(claims, guid[:])
	}
	for _, claim := range claims {
		if !bytes.Equal(claim, id.Bytes) && !contains(id.Claims, claim) {
			id.Claims = append(id.Claims, claim)
		}
	}
	if a.opt.Revoked.Has(id.Bytes) || slices.ContainsFunc(id.Claims, a.opt.Revoked.Has) {
		id.Refuse = presence.ReasonRevoked
	}
	return id
}

func contains(all [][]byte, one []byte) bool {
	return slices.ContainsFunc(all, func(b []byte) bool { return bytes.Equal(b, one) })
}

// linkDetail is the word for why a link came to no end; "" where that is the reader's.
func (a *attempt) linkDetail(err error) string {
	lost := errors.Is(err, card.ErrNoAnswer) || errors.Is(err, card.ErrBadFrame)
	switch {
	case errors.Is(err, card.ErrGone) && lost && !a.linked:
		return presence.DetailNoATS
	case errors.Is(err, card.ErrTooSlow):
		return detailTooSlow
	case errors.Is(err, card.ErrProtocol):
		return presence.DetailProtocol
	case errors.Is(err, card.ErrGone):
		return detailGone
	}
	return ""
}

// ofLink reports whether an error ended the link, so that nothing more can be asked.
func ofLink(err error) bool {
	return errors.Is(err, card.ErrGone) || errors.Is(err, card.ErrTooSlow) || errors.Is(err, card.ErrProtocol)
}

// count counts an attempt that failed.
func (p *Prover) count(detail string) {
	if detail == "" || detail == presence.DetailAbsent {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed[detail]++
}

// Failed counts attempts at a proof that failed, by Identity.Detail, since the start. That
// a card offers nothing is no attempt.
func (p *Prover) Failed() map[string]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.failed)
}

// Least is what a badge with this identity must prove at least, as far as the keys tell: a
// card whose key is here is one that has it. It is "" for all others.
func (p *Prover) Least(identity []byte) card.Assurance {
	if p.opt.Keys.Names(identity) {
		return card.AssuranceDESFire
	}
	return ""
}

// Forget removes what is kept of a badge, by its identity as in events.
func (p *Prover) Forget(badge string) { forget(p.certificates, p.pauses, p.opt.Badges, badge) }

// Forget removes what the folder of a gateway that does not run holds of some badges.
func Forget(stateDir string, names presence.Badges, badges []string, log *slog.Logger) {
	certificates, pauses := keptIn(stateDir, log)
	for _, badge := range badges {
		forget(certificates, pauses, names, badge)
	}
}

// keptIn is what a gateway's folder holds of badges.
func keptIn(stateDir string, log *slog.Logger) (*Certificates, *Pauses) {
	return NewCertificates(filepath.Join(stateDir, "badge-certificates"), log), NewPauses(filepath.Join(stateDir, "badge-pauses.json"), log)
}

func forget(c *Certificates, p *Pauses, names presence.Badges, badge string) {
	c.forget(func(guid []byte) bool { return names.Identity(guid) == badge })
	p.forget(badge)
}
