package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/desfire"
	"presence/drivers/isodep"
	"presence/drivers/piv"
	"presence/gatewayd/internal/language"
)

const (
	badgeWait = 20 * time.Second // how long somebody has for laying a badge on a reader
	badgeLook = 100 * time.Millisecond
	badgeTime = 5 * time.Second // what one card may take
)

// officeApplication is the application of a DESFire badge in which the city's key is, unless
// the city has chosen another one.
func officeApplication() desfire.AID { return desfire.AID{0xF5, 0x42, 0x30} }

// Authorities tells certificates of badges from others, as piv.Authorities does.
type Authorities interface {
	Verify(der []byte, earliest, latest time.Time) (*piv.Certificate, error)
}

// BadgeOptions is what is needed to examine badges.
type BadgeOptions struct {
	// Authorities make certificates those of badges. Nil where badges.ca_file is not set.
	Authorities Authorities

	// Latest is the latest instant that has surely passed. Certificates are judged by it.
	Latest time.Time
}

// badgeExam is the examination of the badges on one reader.
type badgeExam struct {
	exam
	BadgeOptions
	name string // the badge: its UID, or the reader's where none was seen
}

// Badges examines the badges that lie on one reader: what each is, what it can prove,
// and what it lacks for that. It waits for one, and closes the chip that open returns.
func Badges(ctx context.Context, r config.Reader, opt BadgeOptions, open func() (Chip, error)) ([]Finding, error) {
	chip, err := open()
	if err != nil {
		return nil, err
	}
	e := &badgeExam{BadgeOptions: opt, name: r.Name}
	reader, ok := chip.(card.Reader)
	if !ok {
		err = fmt.Errorf("the chip of reader %q does not tell of cards", r.Name)
	} else {
		err = e.look(ctx, r, reader)
	}
	if closing := chip.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, err
	}
	return e.findings, nil
}

// look waits for badges and examines each.
func (e *badgeExam) look(ctx context.Context, r config.Reader, reader card.Reader) error {
	var seen []card.Card
	for start := time.Now(); len(seen) == 0 && time.Since(start) < badgeWait; {
		var err error
		if seen, err = reader.Poll(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(badgeLook):
		}
	}
	if len(seen) == 0 {
		e.fail("badge", r.Name, "", say(
			"no badge was seen on reader %q: lay one where people hold theirs, and try again",
			"tidak ada kartu yang terlihat di pembaca %q: letakkan kartu di tempat orang menempelkannya, lalu ulangi", r.Name))
	}
	for _, c := range seen {
		e.name = c.UID.String()
		if err := e.badge(ctx, reader, c); err != nil {
			return err
		}
	}
	return nil
}

// badge examines one badge.
func (e *badgeExam) badge(ctx context.Context, reader card.Reader, c card.Card) error {
	switch {
	case c.UID.Random():
		e.ok("badge", e.name, say(
			"reader sees %s, which the card makes up anew each time: it names nobody",
			"pembaca melihat %s, yang dibuat baru oleh kartu setiap kali: bukan milik siapa pun", c.UID))
	case c.TypeB:
		e.ok("badge", e.name, say("reader sees %s, of type B", "pembaca melihat %s, tipe B", c.UID))
	default:
		e.ok("badge", e.name, say(
			"reader sees %s, ATQA % X, SAK %02X", "pembaca melihat %s, ATQA % X, SAK %02X", c.UID, c.ATQA, c.SAK))
	}
	selector, ok := reader.(card.Selector)
	switch {
	case !c.Layer4():
		e.onlyNumber()
		return nil
	case !ok:
		e.noSelector()
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, 2*badgeTime)
	defer cancel()
	err := selector.Select(bounded, c, func(frames card.Frames) error {
		return isodep.Run(bounded, frames, isodep.Options{Budget: badgeTime}, func(link *isodep.Link) error {
			return e.processor(bounded, link, c)
		})
	})
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errors.ErrUnsupported):
		e.noSelector()
	case errors.Is(err, card.ErrBusDead), errors.Is(err, card.ErrDeaf):
		return err
	case errors.Is(err, card.ErrProtocol):
		e.fail("badge-link", e.name, "", say(
			"it answers what ISO/IEC 14443-4 does not know: it cannot serve as a badge that proves itself",
			"jawabannya tidak dikenal ISO/IEC 14443-4: tidak dapat dipakai sebagai kartu yang membuktikan diri"))
	default:
		e.fail("badge-link", e.name, "", say(
			"it stopped to answer: lay it flat on the reader and leave it there; where that does not help, the field is too weak for it",
			"kartu berhenti menjawab: letakkan rata di pembaca dan biarkan; bila tetap begitu, medan pembaca terlalu lemah"))
	}
	return nil
}

func (e *badgeExam) onlyNumber() {
	e.warn("badge-worth", e.name, "", say(
		"it has no processor: it only shows its number, which anybody can copy, and can prove nothing",
		"tidak punya prosesor: hanya menunjukkan nomornya, yang dapat disalin siapa pun, dan tidak dapat membuktikan apa pun"))
}

func (e *badgeExam) noSelector() {
	e.fail("badge-link", e.name, "", say(
		"the chip of this reader cannot hold a card: badges are known by their numbers only here",
		"cip pembaca ini tidak dapat menahan kartu: di sini kartu hanya dikenal dari nomornya"))
}

// processor examines what answers commands. An error ends the link.
func (e *badgeExam) processor(ctx context.Context, link *isodep.Link, c card.Card) error {
	p := link.Parameters()
	e.ok("badge-link", e.name, say(
		"it answers with ATS % X: frames of %d bytes, up to %v for an answer",
		"jawabannya ATS % X: bingkai %d bita, hingga %v untuk satu jawaban", link.ATS(), p.FSC, p.FWT.Round(time.Millisecond)))
	key, err := e.family(ctx, link)
	if err != nil {
		return err
	}
	certificate, err := e.certificate(ctx, link, c)
	if err != nil {
		return err
	}
	switch {
	case certificate:
		e.ok("badge-worth", e.name, say(
			"it proves itself by its certificate (authenticated-piv)", "kartu membuktikan diri dengan sertifikatnya (authenticated-piv)"))
	case key:
		e.ok("badge-worth", e.name, say(
			"it can prove itself by a key (authenticated-desfire), which the city has to send here: whether it is the right one is not tried, since the card counts wrong ones",
			"kartu dapat membuktikan diri dengan kunci (authenticated-desfire) yang harus dikirim kota ke sini: benar tidaknya tidak dicoba, karena kartu menghitung kunci yang salah"))
	default:
		e.warn("badge-worth", e.name, "", say(
			"it can prove nothing here: it counts by its number only, which anybody can copy",
			"di sini tidak ada yang dapat dibuktikannya: yang berlaku hanya nomornya, yang dapat disalin siapa pun"))
	}
	return nil
}

// ofCard reports whether an error is the answer of a card that is still there, so that it
// can be asked something else.
func ofCard(err error) bool {
	var ofPIV *piv.StatusError
	var ofDESFire *desfire.StatusError
	return errors.As(err, &ofPIV) || errors.As(err, &ofDESFire) ||
		errors.Is(err, piv.ErrMalformed) || errors.Is(err, desfire.ErrMalformed) ||
		errors.Is(err, piv.ErrAbsent) || errors.Is(err, desfire.ErrAbsent) ||
		errors.Is(err, piv.ErrBadCertificate)
}

// family asks which of NXP's cards it is, and looks for the application with the city's
// key. It reports whether that is there.
func (e *badgeExam) family(ctx context.Context, link card.Link) (key bool, err error) {
	v, err := desfire.GetVersion(ctx, link)
	switch {
	case err != nil && ofCard(err):
		return false, nil
	case err != nil:
		return false, err
	}
	family := v.Family()
	e.ok("badge-family", e.name, say("it is a %s", "kartu ini %s", orUnknown(family)))
	if strings.HasPrefix(family, "NTAG") {
		err = desfire.SelectNTAG424(ctx, link)
	} else {
		err = desfire.SelectApplication(ctx, link, officeApplication())
	}
	switch {
	case err == nil:
		return true, nil
	case !ofCard(err):
		return false, err
	}
	e.warn("badge-family", e.name, "", say(
		"it has no application %s: it was not made for the city", "tidak ada aplikasi %s di dalamnya: kartu ini tidak dibuat untuk kota", officeApplication()))
	return false, nil
}

// certificate looks at the PIV application of a card, and has it sign something. It
// reports whether the card has proven what a gateway asks for.
func (e *badgeExam) certificate(ctx context.Context, link card.Link, c card.Card) (proven bool, err error) {
	fault := func(err error, text language.Text) (bool, error) {
		if err != nil && !ofCard(err) {
			return false, err
		}
		e.fail("badge-certificate", e.name, "", text)
		return false, nil
	}
	app, err := piv.Select(ctx, link)
	if err != nil {
		if ofCard(err) {
			return false, nil
		}
		return false, err
	}
	e.ok("badge-piv", e.name, say(
		"it has the PIV application; algorithms that it lists: %s", "ada aplikasi PIV di dalamnya; algoritma yang disebutnya: %s", algorithms(app.Algorithms())))
	guid, err := app.GUID(ctx)
	if err != nil {
		return fault(err, say("it has no GUID (CHUID) by which it could be enrolled: %v", "tidak ada GUID (CHUID) untuk mendaftarkannya: %v", err))
	}
	der, err := app.Certificate(ctx)
	if err != nil {
		return fault(err, say("it has no certificate for slot 9E (ca.sh badge makes one): %v", "tidak ada sertifikat di slot 9E (dibuat dengan ca.sh badge): %v", err))
	}
	certificate, err := piv.ParseCertificate(der)
	switch {
	case err != nil:
		return fault(err, say("its certificate is not one of a badge: %v", "sertifikatnya bukan sertifikat kartu: %v", err))
	case certificate.GUID != guid:
		return fault(nil, say("it calls itself %s, and its certificate %s", "kartu menyebut diri %s, sertifikatnya %s", guid, certificate.GUID))
	case !c.UID.Random() && guid != piv.GUIDOf(c.UID):
		e.warn("badge-piv", e.name, "", say(
			"its GUID %s is not made from its number: a copy of the number alone is not known as a copy",
			"GUID %s tidak dibuat dari nomornya: salinan nomornya saja tidak dikenali sebagai salinan", guid))
	}
	e.ok("badge-certificate", e.name, say(
		"certificate of GUID %s, %s, until %s", "sertifikat untuk GUID %s, %s, sampai %s",
		guid, certificate.Algorithm, certificate.X509.NotAfter.UTC().Format(time.DateOnly)))
	trusted := e.trusted(der)
	hash := make([]byte, certificate.Algorithm.Hash().Size())
	if _, err := rand.Read(hash); err != nil {
		return false, err
	}
	signature, err := app.Sign(ctx, certificate.Algorithm, hash)
	if err == nil {
		err = certificate.Verify(hash, signature)
	}
	if errors.Is(err, piv.ErrSignature) || err != nil && ofCard(err) {
		return fault(nil, say("its key does not sign as its certificate says: %v", "kuncinya tidak menandatangani sesuai sertifikatnya: %v", err))
	}
	return trusted && err == nil, err
}

// trusted says whether a certificate counts here.
func (e *badgeExam) trusted(der []byte) bool {
	if e.Authorities == nil {
		e.warn("badge-ca", e.name, "", say(
			"badges.ca_file is not set, so that no certificate counts here", "badges.ca_file tidak diisi, jadi tidak ada sertifikat yang berlaku di sini"))
		return false
	}
	_, err := e.Authorities.Verify(der, e.Latest, time.Time{})
	switch {
	case err == nil:
		e.ok("badge-ca", e.name, say("the city's badge CA has signed it", "ditandatangani CA kartu milik kota"))
		return true
	case errors.Is(err, piv.ErrForeignCA):
		e.fail("badge-ca", e.name, "", say(
			"none of the authorities in badges.ca_file has signed its certificate", "sertifikatnya tidak ditandatangani CA mana pun di badges.ca_file"))
	case errors.Is(err, piv.ErrExpired):
		e.fail("badge-ca", e.name, "", say("its certificate has expired", "sertifikatnya sudah kedaluwarsa"))
	default:
		e.fail("badge-ca", e.name, "", say("its certificate does not count: %v", "sertifikatnya tidak berlaku: %v", err))
	}
	return false
}

// algorithms are identifiers of algorithms as people can look them up in SP 800-78.
func algorithms(ids []byte) string {
	if len(ids) == 0 {
		return "-"
	}
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		names = append(names, fmt.Sprintf("%02X", id))
	}
	return strings.Join(names, " ")
}
