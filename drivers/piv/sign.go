package piv

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Algorithm is how a card signs, by its identifier in SP 800-78-5, table 6-2.
type Algorithm byte

// What a badge may have for a key.
const (
	P256 Algorithm = 0x11 // ECDSA over P-256
	P384 Algorithm = 0x14 // ECDSA over P-384
)

// String is the curve's name.
func (a Algorithm) String() string {
	switch a {
	case P256:
		return "P-256"
	case P384:
		return "P-384"
	}
	return fmt.Sprintf("algorithm %02X", byte(a))
}

// Hash is what a challenge is hashed with before the card signs it: SHA-256 for P-256,
// SHA-384 for P-384 (SP 800-78-5, table 3-2). It is 0 for what is no Algorithm.
func (a Algorithm) Hash() crypto.Hash {
	switch a {
	case P256:
		return crypto.SHA256
	case P384:
		return crypto.SHA384
	}
	return 0
}

// algorithmOf is the algorithm of a public key. The error wraps ErrAlgorithm.
func algorithmOf(key any) (Algorithm, *ecdsa.PublicKey, error) {
	k, ok := key.(*ecdsa.PublicKey)
	switch {
	case ok && k.Curve == elliptic.P256():
		return P256, k, nil
	case ok && k.Curve == elliptic.P384():
		return P384, k, nil
	}
	return 0, nil, fmt.Errorf("%w: the key is neither P-256 nor P-384", ErrAlgorithm)
}

// lists reports whether the card may know the algorithm. A card that lists algorithms of
// keys knows no others; one that lists none, or only those of secure messaging, does not
// say.
func (c *Card) lists(a Algorithm) bool {
	says := slices.ContainsFunc(c.algorithms, func(id byte) bool { return id != 0x27 && id != 0x2E })
	return !says || slices.Contains(c.algorithms, byte(a))
}

// Sign lets the card authentication key sign a hash of 32 bytes (P256) or 48 (P384), which
// is signed as it is (GENERAL AUTHENTICATE with key 9E, SP 800-73-5 part 2, 3.2.4). It
// returns the signature as the card gave it, in DER if the card is sound, and verifies
// nothing.
//
// The error wraps ErrAlgorithm where the card does not have the algorithm, ErrPIN where it
// wants a PIN, ErrAbsent where it has no such key: a card that shows a certificate and then
// one of these has not proven it.
func (c *Card) Sign(ctx context.Context, a Algorithm, hash []byte) ([]byte, error) {
	if a.Hash() == 0 || len(hash) != a.Hash().Size() {
		return nil, fmt.Errorf("sign %d bytes with %v: %w", len(hash), a, ErrAlgorithm)
	}
	if !c.lists(a) {
		return nil, fmt.Errorf("sign with %v: %w: the card lists % X", a, ErrAlgorithm, c.algorithms)
	}
	n := byte(len(hash))
	// 7C { 82: the answer, asked for; 81: the challenge }
	apdu := []byte{0x00, 0x87, byte(a), 0x9E, n + 6, 0x7C, n + 4, 0x82, 0x00, 0x81, n}
	apdu = append(append(apdu, hash...), 0x00)
	answer, err := c.command(ctx, "GENERAL AUTHENTICATE 9E", keyStatus, apdu...)
	if err != nil {
		return nil, err
	}
	signature, err := parseAuthenticate(answer)
	if err != nil {
		return nil, fmt.Errorf("read signature: %w", err)
	}
	return signature, nil
}

// parseAuthenticate returns the response (tag 82) of a dynamic authentication template.
func parseAuthenticate(b []byte) ([]byte, error) {
	template, err := only(b, 0x7C)
	if err != nil {
		return nil, err
	}
	return only(template, 0x82)
}

// verify checks that signature is an ECDSA signature over hash by key, in DER (RFC 3279,
// 2.2.3). Every other form is refused by ErrSignature, since what is recorded as evidence
// must be read alike everywhere: r||s, numbers with leading zeros, bytes behind the end.
func verify(key any, hash, signature []byte) error {
	a, k, err := algorithmOf(key)
	if err != nil {
		return err
	}
	if len(hash) != a.Hash().Size() {
		return fmt.Errorf("verify a hash of %d bytes with %v: %w", len(hash), a, ErrAlgorithm)
	}
	if err := checkSignature(signature, k.Params().N); err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(k, hash, signature) {
		return fmt.Errorf("%w: not by this key over this challenge", ErrSignature)
	}
	return nil
}

// checkSignature checks that b is SEQUENCE { r, s INTEGER } in DER, with both numbers from
// 1 to n-1, so that whoever looks for a fault learns what is wrong with it.
func checkSignature(b []byte, n *big.Int) error {
	input := cryptobyte.String(b)
	var numbers cryptobyte.String
	var r, s big.Int
	if !input.ReadASN1(&numbers, asn1.SEQUENCE) || !input.Empty() ||
		!numbers.ReadASN1Integer(&r) || !numbers.ReadASN1Integer(&s) || !numbers.Empty() {
		return fmt.Errorf("%w: not in DER", ErrSignature)
	}
	for _, x := range []*big.Int{&r, &s} {
		if x.Sign() <= 0 || x.Cmp(n) >= 0 {
			return fmt.Errorf("%w: r or s out of range", ErrSignature)
		}
	}
	return nil
}
