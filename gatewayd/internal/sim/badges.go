package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/language"
)

// keptPrograms is how many badges keep what they have counted, such as authentications
// that failed, from one tap to the next. Then all begin anew.
const keptPrograms = 1000

// badge is one badge among those that were tapped.
type badge struct {
	kind  applets.Kind
	rogue string
	uid   card.UID
}

// card makes the card with a UID for a tap.
func (h *Hardware) card(t Tap, uid card.UID) (*cardtest.Card, error) {
	if !Badge(t.Card) {
		return cardtest.New(uid, card.Technology(t.Card))
	}
	b := applets.Badge{Kind: applets.Kind(t.Card), UID: uid, Rogue: t.Rogue, Now: time.Now(), Seed: uint64(time.Now().UnixNano())}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := badge{b.Kind, b.Rogue, b.UID}
	program, ok := h.programs[key]
	if !ok {
		made, err := b.Program()
		if err != nil {
			return nil, err
		}
		if len(h.programs) >= keptPrograms {
			clear(h.programs)
		}
		program, h.programs[key] = made, made
	}
	return b.Card(program)
}

// Badge reports whether a Tap's card is one that can prove who it is, or that should.
func Badge(card string) bool {
	return slices.Contains(applets.Kinds(), applets.Kind(card)) || strings.HasPrefix(card, string(applets.KindClone)+":")
}

// cloned takes the UID out of "clone-of:UID".
func (t *Tap) cloned() error {
	original, ok := strings.CutPrefix(t.Card, string(applets.KindClone)+":")
	if !ok {
		return nil
	}
	uid, err := card.ParseUID(original)
	if err != nil {
		return err
	}
	for _, s := range t.UIDs {
		if !strings.EqualFold(s, uid.String()) {
			return language.Errorf("a clone of %s does not show uid %s: leave --uid out", "tiruan %s tidak menunjukkan UID %s: hapus --uid", uid, s)
		}
	}
	if len(t.UIDs) == 0 {
		t.UIDs = []string{uid.String()}
	}
	t.Card = string(applets.KindClone)
	return nil
}

// checkCard says what is wrong with the kind of card, and with what is wrong with it.
func (t *Tap) checkCard() error {
	switch {
	case Badge(t.Card):
		if err := (applets.Badge{Kind: applets.Kind(t.Card), Rogue: t.Rogue}).Check(); err != nil {
			return language.Errorf("rogue %.40q: card %s has %s", "rogue %.40q: kartu %s punya %s", t.Rogue, t.Card, strings.Join(roguesOf(applets.Kind(t.Card)), ", "))
		}
	case !slices.Contains(card.Technologies(), card.Technology(t.Card)):
		return language.Errorf("card %.40q: want one of %s", "kartu %.40q: tulis salah satu dari %s", t.Card, CardNames())
	case t.Rogue != "":
		return language.Errorf("rogue is for cards that prove who they are: %s", "rogue hanya untuk kartu yang membuktikan dirinya: %s", badgeNames())
	}
	return nil
}

// CardNames are the kinds of cards that a tap can have.
func CardNames() string {
	var names []string
	for _, t := range card.Technologies() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ") + ", " + badgeNames()
}

func badgeNames() string {
	var names []string
	for _, k := range applets.Kinds() {
		if k == applets.KindClone {
			k += ":UID"
		}
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// RogueNames are what can be wrong with a badge, by what it is.
func RogueNames() string {
	return fmt.Sprintf("with piv %s; with desfire-ev2, desfire-ev3 and ntag424 %s; with clone-of %s",
		strings.Join(roguesOf(applets.KindPIV), ", "), strings.Join(roguesOf(applets.KindEV2), ", "), strings.Join(roguesOf(applets.KindClone), ", "))
}

func roguesOf(kind applets.Kind) (names []string) {
	for _, r := range applets.Rogues() {
		if slices.Contains(r.Kinds, kind) {
			names = append(names, r.Name)
		}
	}
	return names
}

// BadgeCA is the authority of simulated PIV badges, PEM. It is the same in every build,
// so that a gateway whose hardware is real can refuse it.
func BadgeCA() []byte {
	a, err := applets.NewAuthority()
	if err != nil {
		panic(err) // it is made from a constant
	}
	return a.PEM()
}

// BadgeCertificate is the certificate of the simulated PIV badge with this UID, PEM. It
// is valid from the beginning of the last year to the end of the next one.
func BadgeCertificate(uid card.UID, now time.Time) (guid [16]byte, pem []byte, err error) {
	b := applets.Badge{Kind: applets.KindPIV, UID: uid, Now: now}
	der, err := b.Certificate()
	if err != nil {
		return guid, nil, err
	}
	return b.GUID(), applets.PEM(der), nil
}

// BadgeKey is the key, number 1, of the simulated DESFire or NTAG 424 with this UID: a
// test master key, diversified by AN10922 over UID || F54230 || "gatewayd".
func BadgeKey(uid card.UID) [16]byte { return applets.CardKey(applets.RealUID(uid)) }

// NumberKey is that of a simulated DESFire with a random UID and this number in its free
// file 01, diversified over number || F54230 || "gatewayd".
func NumberKey(number [16]byte) [16]byte { return applets.NumberKey(number) }
