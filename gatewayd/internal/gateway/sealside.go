package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sealkey"
)

// sealSide is the key with which the gateway seals its journal.
type sealSide struct {
	files *sealkey.Files

	mu     sync.Mutex
	last   presence.KeyID // of the key in use, or that was in use last; zero: none ever was
	former presence.KeyID // of the key before that; zero: there was none
}

// openSeal reads the seal key. Whatever is wrong with it, the gateway records all the
// same: unsealed, if there is no usable key.
func (g *Gateway) openSeal() {
	g.seal.files = configured.SealKey(g.cfg)
	if p := g.seal.files.Check(g.certainlyPast()); p != nil {
		g.log.Error("the seal key is not as it should be", "unsealed", p.Unusable(), "error", p)
	}
}

// info says with which key the journal is sealed, nil where it is not.
func (s *sealSide) info() *presence.InfoSeal {
	key := s.files.Key()
	if key == nil {
		return nil
	}
	return &presence.InfoSeal{Key: key.KeyID().String(), PublicKey: key.PublicPEM(), Certificate: s.files.Certificate(), Request: s.files.Request()}
}

// recallSealKey notes with which key the journal was sealed before.
func (g *Gateway) recallSealKey() {
	s := &g.seal
	s.mu.Lock()
	if s.last = g.journal.Sealing().Former; s.last != (presence.KeyID{}) {
		s.files.Require()
	}
	s.mu.Unlock()
	g.noteSealKey()
}

// noteSealKey notes with which key the journal is sealed now, and says where that is
// another than before.
func (g *Gateway) noteSealKey() {
	s := &g.seal
	key := s.files.Key()
	if key == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := key.KeyID(); id != s.last {
		if s.former = s.last; s.former != (presence.KeyID{}) {
			g.log.Warn("the journal is sealed with another key than before", "key", id.String(), "before", s.former.String())
		}
		s.last = id
	}
}

// watchSealKey reads the files of the key again where they have changed.
func (g *Gateway) watchSealKey() {
	if g.seal.files.Refresh() {
		g.noteSealKey()
		g.journal.SealKeyCame()
		g.line.Retain("info", g.info())
	}
}

// sealConditions are the alerts about the seal key. Its files are read again before, so
// that an alert ends with its cause.
func (g *Gateway) sealConditions() []alerts.Alert {
	g.watchSealKey()
	s := &g.seal
	p := s.files.Check(g.certainlyPast())
	if p == nil {
		return nil
	}
	s.mu.Lock()
	former := s.former
	s.mu.Unlock()
	if !p.Unusable() && p.Fault != sealkey.Expired && former != (presence.KeyID{}) {
		return []alerts.Alert{alerts.SealKeyChanged.Raise(withError(fmt.Errorf("before: %s; %w", former, p.Err)), s.files.KeyFile())}
	}
	if p.Fault == sealkey.Uncertified && g.cfg.Seal.CertFile == "" {
		return nil // no certificate is asked for; doctor and check say that there is none
	}
	return []alerts.Alert{sealAlert(p.Fault).Raise(withError(p.Err), p.File)}
}

// sealAlert is the alert about a fault of the seal key.
func sealAlert(f sealkey.Fault) alerts.Kind {
	switch f {
	case sealkey.Unreadable:
		return alerts.SealKeyUnreadable
	case sealkey.Exposed:
		return alerts.SealKeyExposed
	case sealkey.NotEd25519:
		return alerts.SealKeyWrong
	case sealkey.Uncertified:
		return alerts.SealKeyUncertified
	case sealkey.Expired:
		return alerts.SealCertificateExpired
	default:
		return alerts.SealCertificateWrong
	}
}

// sealJournal seals what was recorded before the last of it goes to the city, so that the
// city can prove all that it has.
func (g *Gateway) sealJournal(ctx context.Context) {
	err := g.journal.Seal(ctx)
	if err != nil && !errors.Is(err, journal.ErrNoSealKey) && g.journal.Refused() == nil {
		g.log.Warn("the end of the journal is not sealed", "error", err)
	}
}
