package applets

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"presence/drivers/card"
)

// The readers of this file are short and strict. With them it is shown that each rogue
// differs from a genuine card in something that a reader can see.

// fetch sends a command and fetches the whole answer.
func fetch(p Program, apdu ...byte) ([]byte, uint16, time.Duration) {
	var data []byte
	var spent time.Duration
	for range 40 {
		answer, delay := p.Command(apdu)
		spent += delay
		n := len(answer) - 2
		data = append(data, answer[:n]...)
		sw := uint16(answer[n])<<8 | uint16(answer[n+1])
		if sw>>8 != 0x61 {
			return data, sw, spent
		}
		apdu = []byte{0x00, 0xC0, 0x00, 0x00, byte(sw)}
	}
	return nil, 0, spent
}

// object takes the one data object with a tag out of b.
func object(b []byte, tag byte) ([]byte, error) {
	for len(b) > 0 {
		got, value, rest, ok := nextTLV(b)
		if !ok {
			return nil, errors.New("broken TLV")
		}
		if got == tag {
			return value, nil
		}
		b = rest
	}
	return nil, fmt.Errorf("no object %X", tag)
}

func dataObject(p Program, last byte) ([]byte, error) {
	data, sw, _ := fetch(p, 0x00, 0xCB, 0x3F, 0xFF, 0x05, 0x5C, 0x03, 0x5F, 0xC1, last, 0x00)
	if sw != swDone || len(data) > 4096 {
		return nil, fmt.Errorf("object %02X: %04X, %d bytes", last, sw, len(data))
	}
	return object(data, 0x53)
}

// provePIV has a card prove which badge it is, and returns the GUID and the challenge.
func provePIV(p Program, now time.Time) (guid [16]byte, challenge []byte, err error) {
	if _, sw, _ := fetch(p, append([]byte{0x00, 0xA4, 0x04, 0x00, byte(len(pivAID))}, append([]byte(pivAID), 0)...)...); sw != swDone {
		return guid, nil, fmt.Errorf("select: %04X", sw)
	}
	chuid, err := dataObject(p, 2)
	if err != nil {
		return guid, nil, err
	}
	name, err := object(chuid, 0x34)
	if err != nil || len(name) != 16 {
		return guid, nil, fmt.Errorf("guid: %X, %w", name, err)
	}
	guid = [16]byte(name)
	cert, err := proveCertificate(p, now, guid)
	if err != nil {
		return guid, nil, err
	}
	key := cert.PublicKey.(*ecdsa.PublicKey)
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	algorithm, hash := byte(algorithmP256), sha256.New()
	if key.Curve.Params().BitSize == 384 {
		algorithm, hash = algorithmP384, sha512.New384()
	}
	hash.Write(random)
	challenge = hash.Sum(nil)
	template := tlv(0x7C, tlv(0x82), tlv(0x81, challenge))
	answer, sw, spent := fetch(p, append(append([]byte{0x00, 0x87, algorithm, 0x9E, byte(len(template))}, template...), 0)...)
	if sw != swDone || spent > time.Second {
		return guid, nil, fmt.Errorf("sign: %04X after %v", sw, spent)
	}
	inner, err := object(answer, 0x7C)
	if err != nil {
		return guid, nil, err
	}
	signature, err := object(inner, 0x82)
	if err != nil {
		return guid, nil, err
	}
	if !ecdsa.VerifyASN1(key, challenge, signature) {
		return guid, nil, errors.New("signature is wrong")
	}
	return guid, challenge, nil
}

func proveCertificate(p Program, now time.Time, guid [16]byte) (*x509.Certificate, error) {
	data, err := dataObject(p, 1)
	if err != nil {
		return nil, err
	}
	der, err := object(data, 0x70)
	if err != nil {
		return nil, err
	}
	if info, err := object(data, 0x71); err != nil || !bytes.Equal(info, []byte{0}) {
		return nil, fmt.Errorf("certificate info %X, %w", info, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a, err := NewAuthority()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, err
	}
	oid := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 6, 8}
	name := uuid.UUID(guid).String()
	switch {
	case len(cert.UnhandledCriticalExtensions) != 0 || cert.IsCA:
		return nil, errors.New("extensions")
	case len(cert.UnknownExtKeyUsage) != 1 || len(cert.ExtKeyUsage) != 0 || !cert.UnknownExtKeyUsage[0].Equal(oid):
		return nil, errors.New("extended key usage")
	case len(cert.URIs) != 1 || cert.URIs[0].String() != "urn:uuid:"+name || cert.Subject.String() != "CN="+name:
		return nil, errors.New("the certificate names another badge")
	case cert.KeyUsage != x509.KeyUsageDigitalSignature || cert.NotAfter.After(cert.NotBefore.AddDate(3, 0, 0)):
		return nil, errors.New("key usage or validity")
	}
	return cert, nil
}

// wrapped sends a wrapped command and returns data and status byte.
func wrapped(p Program, ins byte, data ...byte) ([]byte, byte) {
	apdu := []byte{0x90, ins, 0x00, 0x00}
	if len(data) > 0 {
		apdu = append(append(apdu, byte(len(data))), data...)
	}
	answer, _ := p.Command(append(apdu, 0x00))
	n := len(answer) - 2
	if answer[n] != 0x91 {
		return nil, 0xFF
	}
	return answer[:n], answer[n+1]
}

// proveDESFire has a card with a key prove its UID, and returns it and RndA.
func proveDESFire(p Program, kind Kind, keyOfNumber func(number []byte) [16]byte) (uid card.UID, rndA [16]byte, err error) {
	if kind == KindNTAG424 {
		if answer, _ := p.Command([]byte("\x00\xA4\x04\x00\x07\xD2\x76\x00\x00\x85\x01\x01\x00")); !bytes.Equal(answer, []byte{0x90, 0x00}) {
			return uid, rndA, fmt.Errorf("select: %X", answer)
		}
	} else if _, status := wrapped(p, cmdSelectApplication, 0x30, 0x42, 0xF5); status != stDone {
		return uid, rndA, fmt.Errorf("select: %02X", status)
	}
	number, status := wrapped(p, cmdRead, 1, 0, 0, 0, 16, 0, 0)
	if status != stDone {
		return uid, rndA, fmt.Errorf("number: %02X", status)
	}
	key := keyOfNumber(number)
	challenge, status := wrapped(p, cmdFirst, KeyNumber, 0)
	if status != stMore || len(challenge) != 16 {
		return uid, rndA, fmt.Errorf("part 1: %02X, %d bytes", status, len(challenge))
	}
	rndB := [16]byte(decrypt(key, [16]byte{}, challenge))
	_, _ = rand.Read(rndA[:])
	turned := rotated(rndB)
	answer, status := wrapped(p, cmdMore, encrypt(key, [16]byte{}, append(bytes.Clone(rndA[:]), turned[:]...))...)
	if status != stDone || len(answer) != 32 {
		return uid, rndA, fmt.Errorf("part 2: %02X, %d bytes", status, len(answer))
	}
	answer = decrypt(key, [16]byte{}, answer)
	if want := rotated(rndA); !bytes.Equal(answer[4:20], want[:]) {
		return uid, rndA, errors.New("RndA' is wrong")
	}
	s := &session{ti: [4]byte(answer)}
	s.enc, s.mac = sessionKeys(key, rndA, rndB)
	mac := s.macOver(cmdUID)
	answer, status = wrapped(p, cmdUID, mac[:]...)
	s.counter++
	if status != stDone || len(answer) != 24 {
		return uid, rndA, fmt.Errorf("uid: %02X, %d bytes", status, len(answer))
	}
	if want := s.macOver(stDone, answer[:16]); !bytes.Equal(answer[16:], want[:]) {
		return uid, rndA, errors.New("MAC is wrong")
	}
	plain := decrypt(s.enc, s.iv(true), answer[:16])
	if !bytes.Equal(plain[7:], []byte("\x80\x00\x00\x00\x00\x00\x00\x00\x00")) {
		return uid, rndA, errors.New("padding is wrong")
	}
	uid, err = card.NewUID(plain[:7])
	return uid, rndA, err
}
