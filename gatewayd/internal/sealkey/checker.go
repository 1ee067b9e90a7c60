package sealkey

import (
	"crypto/ed25519"
	"maps"
	"slices"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// Checker holds the signatures of seals against the public keys that are known here. It
// serves one goroutine.
type Checker struct {
	known map[presence.KeyID]ed25519.PublicKey
	found map[presence.KeyID]int // how many seals by each key were checked
}

// Checker knows the key itself, as far as it can be read, and that of its certificate.
// Seals by a key that the gateway had before are for the audit, which has the city's
// record of keys.
func (f *Files) Checker() *Checker {
	c := &Checker{known: make(map[presence.KeyID]ed25519.PublicKey), found: make(map[presence.KeyID]int)}
	if key := f.Key(); key != nil {
		c.known[key.KeyID()] = key.Public()
	}
	if f.opt.CertFile == "" {
		return c
	}
	certificates, err := readCertificates(f.opt.CertFile)
	if err != nil {
		return c // Check says what is wrong with the file
	}
	if public, ok := certificates[0].PublicKey.(ed25519.PublicKey); ok && certificates[0].Subject.CommonName == f.opt.Gateway {
		c.known[presence.KeyIDOf(public)] = public
	}
	return c
}

// Check says what is wrong with a seal's signature: the zero Text where it is right, or
// the key is not known.
func (c *Checker) Check(o presence.Origin, r *presence.Record) language.Text {
	s := r.Seal
	c.found[s.Key]++
	public, known := c.known[s.Key]
	if !known || ed25519.Verify(public, presence.SealText(o.Gateway, r.Stream, s.Upto, s.Link), s.Sig) {
		return language.Text{}
	}
	return language.Say("the signature is not one of the key %s over it", "tanda tangannya bukan dari kunci %s", s.Key)
}

// Said tells by which keys the seals are that were checked, one line for each.
func (c *Checker) Said() (lines []language.Text) {
	for _, id := range slices.SortedFunc(maps.Keys(c.found), func(a, b presence.KeyID) int { return slices.Compare(a[:], b[:]) }) {
		if _, known := c.known[id]; known {
			lines = append(lines, language.Say("%d by the key %s", "%d dengan kunci %s", c.found[id], id))
		} else {
			lines = append(lines, language.Say(
				"%d by the key %s, whose public half is not here: not checked; the audit checks them with the keys that the city keeps",
				"%d dengan kunci %s, yang kunci publiknya tidak ada di sini: tidak diperiksa; audit memeriksanya dengan kunci yang disimpan kota", c.found[id], id))
		}
	}
	return lines
}
