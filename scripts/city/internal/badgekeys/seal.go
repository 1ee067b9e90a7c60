package badgekeys

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"presence/drivers/desfire"
)

// Document is what the keys are for: one gateway, and one document.
type Document struct {
	Dinas   string `json:"dinas"`
	Gateway string `json:"gateway"`
	Serial  uint64 `json:"serial"`
}

// Sealed is the body of the document.
type Sealed struct {
	Recipient  string `json:"recipient"` // SHA-256 of the gateway's public key (SPKI, DER), in hex
	Enc        []byte `json:"enc"`
	Ciphertext []byte `json:"ciphertext"`
}

// Keys is what is sealed.
type Keys struct {
	V           int     `json:"v"` // 1
	Application string  `json:"application"`
	Entries     []Entry `json:"entries"`
}

// Entry is the key of one card.
type Entry struct {
	Card   Kind   `json:"card"`
	UID    string `json:"uid,omitempty"`
	Number string `json:"number,omitempty"`
	KeyNo  int    `json:"key_no"`
	Key    string `json:"key"`
}

// Source tells the key of a card, and its number in the card's application.
type Source func(Card) (key Key, keyNo int, err error)

// FromMaster diversifies the city's application master key.
func FromMaster(master Key, app desfire.AID, keyNo int) Source {
	return func(c Card) (Key, int, error) {
		input, err := Input(c.id(), app)
		if err != nil {
			return Key{}, 0, err
		}
		key, err := desfire.Diversify(master, input)
		return key, keyNo, err
	}
}

// FromList takes keys from a list of cards with their keys, for a city whose keys were made
// elsewhere.
func FromList(list []Card, keyNo int) (Source, error) {
	keys := make(map[string]Card, len(list))
	for _, c := range list {
		if c.Key == nil {
			return nil, errors.New("the list of keys has no column key")
		}
		keys[string(c.id())] = c
	}
	return func(c Card) (Key, int, error) {
		found, ok := keys[string(c.id())]
		if !ok {
			return Key{}, 0, errors.New("has a card of which the list of keys has none")
		}
		if found.KeyNo != nil {
			return *found.Key, *found.KeyNo, nil
		}
		return *found.Key, keyNo, nil
	}, nil
}

// Entries makes the entries of the staff's cards, and of no others.
func Entries(staff []Card, source Source) ([]Entry, error) {
	entries := make([]Entry, 0, len(staff))
	for _, c := range staff {
		key, keyNo, err := source(c)
		if err != nil {
			return nil, fmt.Errorf("make keys: line %d %w", c.Line, err)
		}
		e := Entry{Card: c.Kind, KeyNo: keyNo, Key: strings.ToUpper(hex.EncodeToString(key[:]))}
		if c.Number != nil {
			e.Number = strings.ToUpper(hex.EncodeToString(c.Number[:]))
		} else {
			e.UID = strings.ToUpper(hex.EncodeToString(c.UID))
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Seal seals the keys to the gateway whose certificate it is, so that only that gateway's
// own key opens them, and only as a part of this document: HPKE (RFC 9180) in base mode
// with DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and AES-128-GCM.
func Seal(d Document, certificate *x509.Certificate, keys Keys) (Sealed, error) {
	if certificate.Subject.CommonName != d.Gateway {
		return Sealed{}, fmt.Errorf("seal keys: the certificate is that of %q, not of %s", certificate.Subject.CommonName, d.Gateway)
	}
	own, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return Sealed{}, errors.New("seal keys: the gateway's key is not ECDSA P-256")
	}
	public, err := own.ECDH()
	if err != nil || public.Curve() != ecdh.P256() {
		return Sealed{}, errors.New("seal keys: the gateway's key is not ECDSA P-256")
	}
	recipient, err := hpke.NewDHKEMPublicKey(public)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal keys: %w", err)
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal keys: %w", err)
	}
	enc, sender, err := hpke.NewSender(recipient, hpke.HKDFSHA256(), hpke.AES128GCM(), d.info())
	if err != nil {
		return Sealed{}, fmt.Errorf("seal keys: %w", err)
	}
	ciphertext, err := sender.Seal(nil, text)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal keys: %w", err)
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return Sealed{hex.EncodeToString(sum[:]), enc, ciphertext}, nil
}

// info binds what is sealed to the document that it is for.
func (d Document) info() []byte {
	return fmt.Appendf(nil, "gatewayd badge keys v1\n%s\n%s\n%d", d.Dinas, d.Gateway, d.Serial)
}
