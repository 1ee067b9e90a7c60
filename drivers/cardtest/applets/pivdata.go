package applets

import (
	"crypto"
	"encoding/asn1"
	"math/big"
)

// PIVFault is what a PIV card does wrong, or other than most.
type PIVFault int

// The faults. What is wrong with a certificate is no fault of the card's program: see
// Authority.
const (
	SoundPIV PIVFault = iota

	StaleChallenge // signs the challenge before this one
	LeadingZeros   // the signature's integers have zeros before them, which DER forbids
	ZeroS          // s is 0
	RawSignature   // r||s, and no DER
	TrailingBytes  // two bytes after the signature's DER
	SwappedRS      // s and r in the wrong order
	Unsigned       // an empty signature

	BrokenCHUID    // a length that goes beyond the end
	BrokenObject   // the same in the certificate's object
	BrokenTemplate // the same in the answer to GENERAL AUTHENTICATE
	NoCHUID        // 6A82
	ShortGUID      // a GUID of 15 bytes
	Compressed     // says that its certificate is packed with gzip, and it is not

	HashOnCard   // signs no hash that it is given: PivApplet on cards before Java Card 3.0.5
	WantsPIN     // 6982 to the card authentication key
	EndlessChain // there is always more to fetch
)

// chuid is the cardholder unique identifier (SP 800-73-4, part 1, table 9).
func (p *PIV) chuid() []byte {
	guid := p.o.GUID[:]
	if p.o.Fault == ShortGUID {
		guid = guid[:15]
	}
	object := tlv(0x53,
		tlv(0x30, make([]byte, 25)), // FASC-N: none
		tlv(0x34, guid),
		tlv(0x35, []byte("20491231")),
		tlv(0x3E),
		tlv(0xFE),
	)
	if p.o.Fault == BrokenCHUID {
		object[2+2+25+1] = 0x7F // the length of the GUID
	}
	return object
}

// certificate is the object of the card authentication certificate (SP 800-73-4, part 1,
// table 15).
func (p *PIV) certificate() []byte {
	info := byte(0x00)
	if p.o.Fault == Compressed {
		info = 0x01
	}
	inner := tlv(0x70, p.o.Certificate)
	if p.o.Fault == BrokenObject {
		inner[1], inner[2], inner[3] = 0x82, 0x7F, 0xFF
	}
	return tlv(0x53, inner, tlv(0x71, []byte{info}), tlv(0xFE))
}

// sign answers a challenge, which is a hash already and signed as it is.
func (p *PIV) sign(challenge []byte) ([]byte, uint16) {
	signed := challenge
	if p.o.Fault == StaleChallenge {
		signed = p.stale
		p.stale = append([]byte(nil), challenge...)
	}
	hash := crypto.SHA256
	if len(challenge) == hash.Size()*3/2 {
		hash = crypto.SHA384
		signed = append(signed, make([]byte, len(challenge)-len(signed))...) // the first stale one
	}
	// Without a source of random numbers the signature is that of RFC 6979, so that a
	// run can be repeated; a real card's is another one each time.
	signature, err := p.o.Key.Sign(nil, signed, hash)
	if err != nil {
		return nil, swConditions
	}
	spoilt, sound := p.spoilSignature(signature)
	answer := tlv(0x7C, tlv(0x82, spoilt))
	switch {
	case p.o.Fault == BrokenTemplate:
		answer[3] = 0x7F // the length of the signature
	case sound && p.o.Fault != StaleChallenge:
		p.noteSigned(challenge)
	}
	return answer, swDone
}

// spoilSignature is the signature as the card sends it, and whether it is a sound one.
func (p *PIV) spoilSignature(der []byte) (spoilt []byte, sound bool) {
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		panic("read signature: " + err.Error()) // it is our own
	}
	switch p.o.Fault {
	case LeadingZeros:
		return tlv(0x30, zeroLed(rs.R), zeroLed(rs.S)), false
	case ZeroS:
		return tlv(0x30, integer(rs.R), []byte{0x02, 0x01, 0x00}), false
	case RawSignature:
		n := (p.o.Key.Curve.Params().BitSize + 7) / 8
		return append(rs.R.FillBytes(make([]byte, n)), rs.S.FillBytes(make([]byte, n))...), false
	case TrailingBytes:
		return append(der, 0x00, 0x00), false
	case SwappedRS:
		return tlv(0x30, integer(rs.S), integer(rs.R)), false
	case Unsigned:
		return nil, false
	}
	return der, true
}

// integer is an INTEGER of DER that is not negative.
func integer(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) == 0 || b[0] >= 0x80 {
		b = append([]byte{0x00}, b...)
	}
	return tlv(0x02, b)
}

// zeroLed is the same with two more zeros before it than DER allows.
func zeroLed(n *big.Int) []byte { return tlv(0x02, []byte{0x00, 0x00}, n.Bytes()) }
