package proof

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"

	"github.com/google/uuid"

	"presence/drivers/card"
	"presence/drivers/piv"
	"presence/gatewayd/internal/presence"
)

// piv has the card sign a challenge with its card authentication key. An error is the
// link's, and the verdict is meaningless then.
func (a *attempt) piv(ctx context.Context, link card.Link) (verdict, error) {
	c, err := piv.Select(ctx, link)
	if err != nil {
		return of(err)
	}
	guid, err := c.GUID(ctx)
	if err != nil {
		return of(err)
	}
	a.claims = append(a.claims, guid[:])
	// The certificate that was read at an earlier tap, as long as it still counts.
	kept := a.certificates.of(guid)
	var before verdict
	if kept != nil {
		if certificate, _ := a.check(kept, guid); certificate != nil {
			if before, err = a.challenge(ctx, c, certificate); err != nil || before.detail == "" {
				return before, err
			}
		}
	}
	// The card's own, which may be a new one with another key.
	der, err := c.Certificate(ctx)
	if err != nil {
		return of(err)
	}
	if before.detail != "" && bytes.Equal(der, kept) {
		return before, nil
	}
	certificate, v := a.check(der, guid)
	if certificate == nil {
		return v, nil
	}
	return a.challenge(ctx, c, certificate)
}

// check finds out whether a certificate is one of the city's badges and this one's, at this
// tap. Without one the verdict says why.
func (a *attempt) check(der []byte, guid uuid.UUID) (*piv.Certificate, verdict) {
	earliest, latest := a.opt.Between(a.seen)
	certificate, err := a.opt.Authority.Verify(der, earliest, latest)
	switch {
	case errors.Is(err, piv.ErrForeignCA):
		return nil, failure(detailForeignCA)
	case errors.Is(err, piv.ErrExpired):
		return nil, refusal(detailExpired)
	case errors.Is(err, piv.ErrNotYetValid):
		return nil, refusal(detailNotYetValid)
	case err != nil && readable(der):
		return nil, refusal(detailBadCertificate)
	case err != nil: // nobody can tell whose it is
		return nil, failure(detailBadCertificate)
	case a.opt.Revoked.hasSerial(certificate.X509.SerialNumber):
		return nil, verdict{detail: detailRevoked, refuse: presence.ReasonRevoked}
	case certificate.GUID != guid:
		return nil, refusal(detailWrongGUID)
	}
	return certificate, verdict{}
}

// readable reports whether a certificate could be read at all.
func readable(der []byte) bool {
	_, err := x509.ParseCertificate(der)
	return err == nil && len(der) <= maxCertificate
}

// challenge has the card sign what nobody could foresee, and keeps the certificate where
// the signature is right.
func (a *attempt) challenge(ctx context.Context, c *piv.Card, certificate *piv.Certificate) (verdict, error) {
	p := presence.Proof{Certificate: certificate.Fingerprint()}
	if _, err := rand.Read(p.Random[:]); err != nil {
		return verdict{}, err
	}
	hash := certificate.Algorithm.Hash().New()
	hash.Write(a.nonce(p.Random))
	sum := hash.Sum(nil)
	var err error
	if p.Signature, err = c.Sign(ctx, certificate.Algorithm, sum); err != nil {
		v, err := of(err)
		if v.detail == presence.DetailAbsent { // it shows the certificate and has no key for it
			v.detail = detailNoKey
		}
		return ours(v, err)
	}
	if err := certificate.Verify(sum, p.Signature); err != nil {
		return refusal(detailSignature), nil
	}
	a.certificates.keep(certificate.GUID, certificate.X509.Raw)
	return verdict{identity: certificate.GUID[:], worth: card.AssurancePIV, proof: &p}, nil
}

// nonce is what is hashed for the card to sign: random, and bound to this gateway, stream
// and instant, so that a signature can be checked with the event long afterwards and is of
// no use with another one.
func (a *attempt) nonce(random [16]byte) []byte {
	stream := a.opt.Stream()
	b := append(random[:], a.opt.Gateway...)
	b = append(b, stream[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(a.seen.Boottime.Milliseconds()))
}

// of is the verdict where a PIV card refuses something or answers nonsense. An error is
// the link's.
func of(err error) (verdict, error) {
	switch {
	case !ofCard(err):
		return verdict{}, err
	case errors.Is(err, piv.ErrAbsent):
		return failure(presence.DetailAbsent), nil
	case errors.Is(err, piv.ErrPIN):
		return failure(detailPIN), nil
	case errors.Is(err, piv.ErrAlgorithm):
		return failure(detailAlgorithm), nil
	case errors.Is(err, piv.ErrBadCertificate):
		return failure(detailBadCertificate), nil
	}
	return failure(detailMalformed), nil
}

// ofCard reports whether an error is the card's answer, after which more can be asked, and
// not the end of the link.
func ofCard(err error) bool {
	if ofLink(err) {
		return false
	}
	for _, answered := range []error{piv.ErrAbsent, piv.ErrPIN, piv.ErrAlgorithm, piv.ErrMalformed, piv.ErrBadCertificate} {
		if errors.Is(err, answered) {
			return true
		}
	}
	return false
}
