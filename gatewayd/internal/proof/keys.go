package proof

import (
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"presence/drivers/card"
	"presence/drivers/desfire"
)

// maxKeys is how many badges an office may have.
const maxKeys = 5_000

// Keys are the symmetric keys of this office's DESFire and NTAG 424 badges. The zero value
// has none, until Use. Its methods may be called from any goroutine.
type Keys struct{ current atomic.Pointer[Keyring] }

// Keyring is a set of keys that is never changed. It holds secrets: it is never printed.
type Keyring struct {
	application desfire.AID // of DESFire badges
	byUID       map[card.UID]CardKey
	byNumber    map[[16]byte]CardKey // of cards with a random UID: by their number in file 01
}

// Format implements fmt.Formatter, so that no verb prints the keys.
func (*Keyring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(keys)") }

// CardKey is the key by which one card proves itself.
type CardKey struct {
	NTAG424 bool // the card is an NTAG 424 DNA, and no DESFire
	No      byte // which of the card's keys it is
	Key     desfire.Key
}

// fingerprint tells keys apart on the disk and gives none away.
func (k CardKey) fingerprint() string {
	sum := sha256.Sum256(append([]byte("gatewayd badge pause v1\x00"), append(k.Key[:], k.No)...))
	return hex.EncodeToString(sum[:8])
}

// KeyDocument is what the city has signed, and to whom.
type KeyDocument struct {
	Dinas, Gateway string // as the document names them
	Serial         uint64
	Body           []byte // {"recipient":...,"enc":...,"ciphertext":...}
}

// ErrKeyFile means that the gateway's own key cannot be read, so that nothing that was
// sealed to it can be opened.
var ErrKeyFile = errors.New("the gateway's own key (mqtt.key_file) cannot be used")

// OpenKeys opens a document that is sealed to the key in keyFile, which is the one of the
// gateway's certificate (PEM, P-256): HPKE (RFC 9180) in base mode with DHKEM(P-256,
// HKDF-SHA256), HKDF-SHA256 and AES-128-GCM. The seal names department, gateway and serial,
// so that a sealed body fits no other document. It returns the keys, and what two documents
// are compared by. Errors repeat none of the content, and wrap ErrKeyFile where that is at
// fault.
func OpenKeys(d KeyDocument, keyFile string) (ring *Keyring, content []byte, err error) {
	if d.Dinas == "*" || d.Gateway == "*" {
		return nil, nil, errors.New("is for more than one gateway: keys are sealed to each by itself")
	}
	var sealed struct {
		Recipient       string
		Enc, Ciphertext []byte
	}
	if err := decodeStrictly(d.Body, &sealed); err != nil {
		return nil, nil, errors.New(`has a wrong body: it is not {"recipient":...,"enc":...,"ciphertext":...} with base64 in the last two`)
	}
	own, err := readOwnKey(keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&own.PublicKey)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	if sum := sha256.Sum256(spki); !strings.EqualFold(sealed.Recipient, hex.EncodeToString(sum[:])) {
		return nil, nil, errors.New("is sealed to another key than that of this gateway's certificate: seal it to the present one")
	}
	text, err := unseal(own, d, append(sealed.Enc, sealed.Ciphertext...))
	if err != nil {
		return nil, nil, errors.New("cannot be opened with this gateway's key: it was sealed for another document, or changed")
	}
	defer clear(text)
	ring, err = parseKeyring(text)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(text)
	return ring, sum[:], nil
}

// unseal opens an HPKE message: the encapsulated key and the ciphertext.
func unseal(own *ecdsa.PrivateKey, d KeyDocument, message []byte) ([]byte, error) {
	exchange, err := own.ECDH()
	if err != nil {
		return nil, err
	}
	key, err := hpke.NewDHKEMPrivateKey(exchange)
	if err != nil {
		return nil, err
	}
	info := strings.Join([]string{"gatewayd badge keys v1", d.Dinas, d.Gateway, strconv.FormatUint(d.Serial, 10)}, "\n")
	return hpke.Open(key, hpke.HKDFSHA256(), hpke.AES128GCM(), []byte(info), message)
}

// readOwnKey reads a private key over P-256 in PEM, as PKCS #8 or SEC 1.
func readOwnKey(path string) (*ecdsa.PrivateKey, error) {
	if path == "" {
		return nil, errors.New("none is configured")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer clear(text)
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("there is no private key in the file")
		}
		text = rest
		var parsed any
		switch block.Type {
		case "PRIVATE KEY":
			parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			parsed, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue // EC PARAMETERS
		}
		key, ok := parsed.(*ecdsa.PrivateKey)
		if err != nil || !ok || key.Params().BitSize != 256 {
			return nil, errors.New("the key in the file is not over P-256")
		}
		return key, nil
	}
}

// parseKeyring reads what was sealed.
func parseKeyring(text []byte) (*Keyring, error) {
	var plain struct {
		V           int
		Application string
		Entries     []keyEntry
	}
	if err := decodeStrictly(text, &plain); err != nil || plain.V != 1 || plain.Entries == nil {
		return nil, errors.New(`has keys in a form that is not known: want {"v":1,"application":...,"entries":[...]}`)
	}
	if len(plain.Entries) > maxKeys {
		return nil, fmt.Errorf("has more than %d keys: these are not those of an office", maxKeys)
	}
	application, err := desfire.ParseAID(plain.Application)
	if err != nil {
		return nil, errors.New("has an application that is not 6 hex digits")
	}
	r := &Keyring{application: application, byUID: make(map[card.UID]CardKey), byNumber: make(map[[16]byte]CardKey)}
	for i, e := range plain.Entries {
		if err := r.add(e); err != nil {
			return nil, fmt.Errorf("entry %d %w", i+1, err)
		}
	}
	return r, nil
}

// keyEntry is the key of one card as it is written.
type keyEntry struct {
	Card        string
	UID, Number string
	KeyNo       *byte `json:"key_no"`
	Key         string
}

// add takes one entry.
func (r *Keyring) add(e keyEntry) error {
	var k CardKey
	switch {
	case e.Card != "desfire" && e.Card != "ntag424":
		return errors.New("is of a card that is neither desfire nor ntag424")
	case e.KeyNo == nil || *e.KeyNo > 13:
		return errors.New("has no key_no from 0 to 13")
	case !decodeHex(k.Key[:], e.Key):
		return errors.New("has a key that is not 32 hex digits")
	case (e.UID == "") == (e.Number == ""):
		return errors.New("names its card by both uid and number, or by none")
	}
	k.NTAG424, k.No = e.Card == "ntag424", *e.KeyNo
	if e.UID != "" {
		uid, err := card.ParseUID(e.UID)
		if err != nil || uid.Len() != 7 {
			return errors.New("has a uid that is not 14 hex digits")
		}
		if _, twice := r.byUID[uid]; twice {
			return errors.New("has the uid of an earlier one")
		}
		r.byUID[uid] = k
		return nil
	}
	var number [16]byte
	if !decodeHex(number[:], e.Number) || k.NTAG424 {
		return errors.New("has a number that is not 32 hex digits, or of a card that has no file for one")
	}
	if _, twice := r.byNumber[number]; twice {
		return errors.New("has the number of an earlier one")
	}
	r.byNumber[number] = k
	return nil
}

// decodeHex reads exactly as many hex digits as fill into.
func decodeHex(into []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(into)) {
		return false
	}
	_, err := hex.Decode(into, []byte(text))
	return err == nil
}

// Use puts keys in force.
func (k *Keys) Use(r *Keyring) { k.current.Store(r) }

// Entries is how many keys are in force, false where no document is.
func (k *Keys) Entries() (n int, ok bool) {
	r := k.current.Load()
	if r == nil {
		return 0, false
	}
	return len(r.byUID) + len(r.byNumber), true
}

// Names reports whether there is a key of the card with this UID, so that it must prove
// itself.
func (k *Keys) Names(identity []byte) bool {
	uid, err := card.NewUID(identity)
	if err != nil {
		return false
	}
	r := k.current.Load()
	if r == nil {
		return false
	}
	_, ok := r.byUID[uid]
	return ok
}
