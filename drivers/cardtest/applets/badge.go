package applets

import (
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// Kind is what a simulated badge is.
type Kind string

// The kinds.
const (
	KindPIV     Kind = "piv"
	KindEV2     Kind = "desfire-ev2"
	KindEV3     Kind = "desfire-ev3"
	KindNTAG424 Kind = "ntag424"
	// KindClone shows the UID of another badge and proves nothing.
	KindClone Kind = "clone-of"
)

// Kinds are all kinds.
func Kinds() []Kind { return []Kind{KindPIV, KindEV2, KindEV3, KindNTAG424, KindClone} }

// Badge says what a simulated badge is. The same one has the same keys each time that it
// is made.
type Badge struct {
	Kind Kind
	// UID is what it shows. One with other than 7 bytes, and one of 4 that says it is
	// random, is that of a DESFire which shows random ones; see RealUID.
	UID card.UID
	// Drawn says that it shows another random UID each time that a field reaches it, in
	// place of UID, which is the real one then.
	Drawn bool
	// Rogue is what is wrong with it, a name of Rogues; "" is nothing.
	Rogue string
	// Now tells when certificates are valid: from the beginning of the last year to the
	// end of the next one.
	Now time.Time
	// Seed is that of the random numbers which the card draws.
	Seed uint64
}

// Program is what runs in a badge; its Log says what it did.
type Program interface {
	cardtest.Applet
	Commands() int
	Last() []Exchange
	Signed(challenge []byte) bool
	Signatures() int
	Authentication(rndA [16]byte) (Authentication, bool)
	Authentications() int
	Repeats() int
}

// variant finds what is wrong with the badge.
func (b Badge) variant() (variant, error) {
	if !slices.Contains(Kinds(), b.Kind) {
		return variant{}, fmt.Errorf("make badge: no kind %q", b.Kind)
	}
	if b.Rogue == "" {
		return variant{mute: b.Kind == KindClone}, nil
	}
	for _, v := range variants() {
		if v.Name == b.Rogue && slices.Contains(v.Kinds, b.Kind) {
			return v, nil
		}
	}
	return variant{}, fmt.Errorf("make badge: no rogue %q of kind %s", b.Rogue, b.Kind)
}

// Check says what is wrong with the badge before it is made.
func (b Badge) Check() error {
	_, err := b.variant()
	return err
}

// Program makes what runs in the badge.
func (b Badge) Program() (Program, error) {
	v, err := b.variant()
	switch {
	case err != nil:
		return nil, err
	case b.UID.Len() == 0:
		return nil, fmt.Errorf("make badge: no uid")
	case v.mute:
		return &Mute{}, nil
	}
	if b.Kind == KindPIV {
		return b.piv(v)
	}
	return b.desfire(v)
}

func (b Badge) desfire(v variant) (Program, error) {
	uid := RealUID(b.UID)
	o := DESFireOptions{
		Family: map[Kind]Family{KindEV2: EV2, KindEV3: EV3, KindNTAG424: NTAG424}[b.Kind],
		UID:    uid, RandomID: b.Drawn || b.UID.Len() != len(uid), Application: Application(), Seed: b.Seed,
	}
	number := Number(uid)
	key := CardKey(uid)
	if o.RandomID && b.Kind != KindNTAG424 {
		key = NumberKey(number)
	}
	o.Keys = map[byte][16]byte{0: madeOf("gatewayd sim card master key", uid[:]), KeyNumber: key}
	o.Files = map[byte]*File{1: {Data: number[:], Key: Free}}
	if b.Kind == KindNTAG424 {
		for n := byte(2); n <= 4; n++ {
			o.Keys[n] = madeOf(fmt.Sprint("gatewayd sim card key ", n), uid[:])
		}
		o.Files = map[byte]*File{ // as they are on a new one: container, NDEF, proprietary
			1: {Data: []byte("\x00\x17\x20\x01\x00\x00\xFF\x04\x06\xE1\x04\x01\x00\x00\x00\x05\x06\xE1\x05\x00\x80\x82\x83\x00\x00\x00\x00\x00\x00\x00\x00\x00"), Key: Free},
			2: {Data: make([]byte, 256), Key: Free},
			3: {Data: make([]byte, 128), Mode: Full, Key: 2},
		}
	}
	if v.desfire != nil {
		v.desfire(&o)
	}
	d := NewDESFire(o)
	if v.replay {
		return NewReplayer(hearDESFire(d, o.Application, key, madeOf("gatewayd sim door", nil))), nil
	}
	return d, nil
}

// pivBadge is a PIV badge in the making.
type pivBadge struct {
	guid      [16]byte
	chuid     [16]byte // the GUID that the CHUID has
	curve     elliptic.Curve
	profile   Profile
	foreignCA bool
	thief     bool // the card's key is another one than that of the certificate
	keyless   bool
	options   PIVOptions
}

// GUID is that of the badge's certificate, where it is a PIV badge.
func (b Badge) GUID() [16]byte {
	if b.UID.Random() {
		uid := RealUID(b.UID)
		fixed, _ := card.NewUID(uid[:]) // 7 bytes are a UID
		return GUIDOf(fixed)
	}
	return GUIDOf(b.UID)
}

// make fills in what the badge is, with what is wrong with it.
func (b Badge) make(v variant) (*pivBadge, error) {
	year := func(n int) time.Time { return time.Date(b.Now.UTC().Year()+n, 1, 1, 0, 0, 0, 0, time.UTC) }
	m := &pivBadge{guid: b.GUID(), curve: elliptic.P256()}
	m.chuid = m.guid
	m.profile = Profile{GUID: m.guid, NotBefore: year(-1), NotAfter: year(2).Add(-time.Second)}
	if v.piv != nil {
		v.piv(m)
	}
	name := fmt.Sprintf("gatewayd sim badge key %X", m.guid)
	if v.forged && !m.thief && !m.keyless {
		// Who makes a wrong certificate has not the genuine badge's key. With it, a gateway
		// that remembers the genuine certificate would let the rogue in, and rightly.
		name += ", " + v.Name
	}
	key, err := keyOf(m.curve, name)
	if err != nil {
		return nil, fmt.Errorf("make badge: %w", err)
	}
	m.profile.Key = &key.PublicKey
	m.options.Key = key
	if m.thief {
		if m.options.Key, err = keyOf(m.curve, name+", made up"); err != nil {
			return nil, fmt.Errorf("make badge: %w", err)
		}
	}
	if m.keyless {
		m.options.Key = nil
	}
	if m.options.Certificate == nil {
		authority := NewAuthority
		if m.foreignCA {
			authority = NewForeignAuthority
		}
		a, err := authority()
		if err != nil {
			return nil, err
		}
		if m.options.Certificate, err = a.Issue(m.profile); err != nil {
			return nil, err
		}
	}
	m.options.GUID = m.chuid
	return m, nil
}

func (b Badge) piv(v variant) (Program, error) {
	m, err := b.make(v)
	if err != nil {
		return nil, err
	}
	if len(m.options.Certificate) == 0 {
		m.options.Certificate = nil
	}
	p := NewPIV(m.options)
	if v.replay {
		challenge := sha256.Sum256([]byte("gatewayd sim door"))
		return NewReplayer(hearPIV(p, algorithmP256, challenge[:])), nil
	}
	return p, nil
}

// Certificate is the badge's certificate, DER. Badges of other kinds than PIV have none.
func (b Badge) Certificate() ([]byte, error) {
	v, err := b.variant()
	if err != nil {
		return nil, err
	}
	if b.Kind != KindPIV {
		return nil, fmt.Errorf("make certificate: a badge of kind %s has none", b.Kind)
	}
	m, err := b.make(v)
	if err != nil {
		return nil, err
	}
	return m.options.Certificate, nil
}
