package beacon

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"hash/crc32"
	"math/big"
	"slices"
)

const (
	// keySize is the length of a public key (X25519, RFC 7748), in bytes.
	keySize = 32

	// maxNodes bounds how many nodes are remembered: more than any mesh has.
	maxNodes = 4096
)

// node is what is known of one node.
type node struct {
	key       []byte // X25519
	verifying ed25519.PublicKey
	lastHeard uint32 // as the radio keeps it, seconds since 1970
}

// enrol remembers the key that a node says it has. The first one stands: anybody can
// send another under the same number. But since firmware 2.8 a number is the CRC-32 of
// its key, and such a key replaces one that does not fit. Where the key was that of
// another number before, the tag has been renamed.
func (m *meshtastic) enrol(num uint32, key []byte, lastHeard uint32) {
	if num == 0 || num == m.self.Load() || len(key) != keySize {
		return
	}
	before, known := m.nodes[num]
	fits := func(key []byte) bool { return crc32.ChecksumIEEE(key) == num }
	switch {
	case known && bytes.Equal(before.key, key):
		before.lastHeard = max(before.lastHeard, lastHeard)
		m.nodes[num] = before
		return
	case known && !fits(key), known && fits(before.key), !known && len(m.nodes) >= maxNodes:
		return
	}
	verifying := edwardsKey(key)
	if verifying == nil {
		return
	}
	m.nodes[num] = node{key: slices.Clone(key), verifying: verifying, lastHeard: lastHeard}
	m.noteRenamed(num)
}

// noteRenamed tells of a tag whose key another number has too. Which of the two is the
// newer one: that which is the key's checksum, or else the one that was heard last.
func (m *meshtastic) noteRenamed(num uint32) {
	n := m.nodes[num]
	var others []uint32
	for other, o := range m.nodes {
		if other != num && bytes.Equal(o.key, n.key) {
			others = append(others, other)
		}
	}
	slices.Sort(others)
	sum := crc32.ChecksumIEEE(n.key)
	for _, other := range others {
		before, now := other, num
		if sum == other || sum != num && m.nodes[other].lastHeard > n.lastHeard {
			before, now = num, other
		}
		m.opt.Note(Note{Tag: meshTag(now), Formerly: meshTag(before)})
	}
}

// verify checks the signature of a packet, if it has one and the sender's key is known.
//
// Firmware 2.8 signs with XEdDSA (Signal, "The XEdDSA and VXEdDSA Signature Schemes",
// revision 1) over sender, packet id and port, four bytes each, little-endian, and the
// payload. To verify that is Ed25519 (RFC 8032) with the key on the other curve.
func (m *meshtastic) verify(p *meshPacket) (signed bool, bad Reason) {
	n, known := m.nodes[p.from]
	if len(p.signature) == 0 || !known {
		return false, ""
	}
	var message []byte
	for _, v := range []uint32{p.from, p.id, uint32(p.port)} {
		message = binary.LittleEndian.AppendUint32(message, v)
	}
	message = append(message, p.payload...)
	if len(p.signature) != ed25519.SignatureSize || !ed25519.Verify(n.verifying, message, p.signature) {
		return false, BadSignature
	}
	return true, ""
}

// edwardsKey is the Ed25519 key of an X25519 key: y = (u-1)/(u+1) mod 2^255-19, sign 0
// (RFC 7748, section 4.1). Nil for the one that has none.
func edwardsKey(u []byte) ed25519.PublicKey {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	reversed := slices.Clone(u)
	slices.Reverse(reversed)
	reversed[0] &= 0x7f // RFC 7748: the highest bit is not used
	n := new(big.Int).SetBytes(reversed)
	one := big.NewInt(1)
	inverse := new(big.Int).ModInverse(new(big.Int).Add(n, one), p)
	if inverse == nil {
		return nil
	}
	y := new(big.Int).Sub(n, one)
	y.Mul(y, inverse).Mod(y, p)
	key := y.FillBytes(make([]byte, ed25519.PublicKeySize))
	slices.Reverse(key)
	return key
}
