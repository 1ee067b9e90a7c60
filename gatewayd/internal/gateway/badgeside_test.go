package gateway

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/config"
	"presence/drivers/card"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/clock"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/roster"
)

// badgeOffice is a gateway without its line and hardware, and the city that signs for it.
type badgeOffice struct {
	*Gateway
	t    *testing.T
	sim  *clock.Sim
	city ed25519.PrivateKey
	own  *ecdsa.PrivateKey
	log  strings.Builder
}

func newBadgeOffice(t *testing.T) *badgeOffice {
	t.Helper()
	o := &badgeOffice{t: t}
	var err error
	if o.sim, err = clock.NewSim(); err != nil {
		t.Fatal(err)
	}
	o.sim.Set(true, 0)
	public, city, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(o.own)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(dir, "gateway.key")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	o.city = city
	o.Gateway = &Gateway{
		cfg: &config.Config{
			Gateway: config.Gateway{ID: "dinkes-01", Dinas: "dinkes", StateDir: dir},
			Badges:  config.Badges{Require: config.RequireUID, PlainUID: true},
			City:    config.City{Key: public},
			MQTT:    config.MQTT{KeyFile: keyFile},
			Readers: []config.Reader{{Name: "door", Bus: "/dev/spidev0.0"}},
		},
		log: slog.New(slog.NewTextHandler(&o.log, nil)), origin: presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC},
		time: timekeeping{Clock: clock.New(o.sim), zone: time.UTC}, documents: documents{roster: roster.New()},
		door: doorSide{Door: door.New(door.Options{})},
	}
	return o
}

// open opens what badges prove themselves by, as at a start.
func (o *badgeOffice) open() {
	o.badges = badgeSide{}
	o.openBadges()
}

// sign makes a document of the city.
func (o *badgeOffice) sign(kind, gateway string, serial int, issued time.Time, body, value string) []byte {
	payload := fmt.Appendf(nil, `{"kind":%q,"dinas":"dinkes","gateway":%q,"serial":%d,"issued":%q,%q:%s}`,
		kind, gateway, serial, issued.Format(time.RFC3339), body, value)
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"v":1,"payload":%q,"signature":%q}`, b64(payload), b64(ed25519.Sign(o.city, payload)))
}

// seal seals keys to a gateway's key.
func (o *badgeOffice) seal(to *ecdsa.PrivateKey, serial int, text string) string {
	o.t.Helper()
	exchange, err := to.PublicKey.ECDH()
	if err != nil {
		o.t.Fatal(err)
	}
	public, err := hpke.NewDHKEMPublicKey(exchange)
	if err != nil {
		o.t.Fatal(err)
	}
	info := fmt.Sprintf("gatewayd badge keys v1\ndinkes\ndinkes-01\n%d", serial)
	message, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES128GCM(), []byte(info), []byte(text))
	if err != nil {
		o.t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&to.PublicKey)
	if err != nil {
		o.t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`{"recipient":"%x","enc":"%s","ciphertext":"%s"}`, sha256.Sum256(spki), b64(message[:65]), b64(message[65:]))
}

// wants compares the alerts about badges.
func (o *badgeOffice) wants(when string, kinds ...alerts.Kind) {
	o.t.Helper()
	first := func(text string) string { // words of it, without the values in it
		words := slices.DeleteFunc(strings.Fields(text), func(w string) bool { return strings.ContainsAny(w, "(/-0123456789") })
		return strings.Join(words[:6], " ")
	}
	var got, want []string
	for _, a := range o.badgeConditions() {
		if a.Code() != "badge-ca" || strings.Contains(a.EN(), "(-)") {
			o.t.Errorf("%s: %s: %s", when, a.Code(), a.EN())
		}
		got = append(got, first(a.EN()))
	}
	for _, k := range kinds {
		want = append(want, first(k.Raise(nil).EN()))
	}
	if !slices.Equal(got, want) {
		o.t.Errorf("%s: %q, want %q", when, got, want)
	}
}

const someKeys = `{"v":1,"application":"F54230","entries":[{"card":"desfire","uid":"04A1B2C3D4E5F6","key_no":1,"key":"00112233445566778899aabbccddeeff"}]}`

// TestAlertsAboutTheBadgeCA come and go with the file and its end.
func TestAlertsAboutTheBadgeCA(t *testing.T) {
	o := newBadgeOffice(t)
	o.open()
	o.wants("with nothing configured")
	if h := o.badgesHealth(); h != nil {
		t.Errorf("health says %+v", h)
	}
	o.cfg.Badges.CAFile = filepath.Join(t.TempDir(), "badge-ca.pem")
	o.open()
	o.wants("without the file", alerts.BadgeCAUnusable, alerts.BadgeListMissing)
	if h := o.badgesHealth(); h == nil || h.CA == nil || h.CA.Certificates != 0 {
		t.Errorf("health says %+v", h)
	}
	ca, err := applets.NewForeignAuthority()
	if err != nil {
		t.Fatal(err)
	}
	simulated, err := applets.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(o.cfg.Badges.CAFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
		o.open()
	}
	write([]byte("-----BEGIN CERTIFICATE-----\n"))
	o.wants("with a damaged file", alerts.BadgeCAUnusable, alerts.BadgeListMissing)
	write(simulated.PEM())
	o.wants("with the simulated authority", alerts.BadgeCAUnusable, alerts.BadgeListMissing)
	write(ca.PEM())
	o.wants("with an authority", alerts.BadgeListMissing)
	if h := o.badgesHealth(); h == nil || h.CA.Certificates != 1 || h.CA.Expires != "2049-12-31T23:59:59.000Z" {
		t.Errorf("health says %+v, %+v", h, h.CA)
	}
	o.cfg.City.Key = nil
	o.open()
	o.wants("without the city's key", alerts.BadgeListUnheard)
	left := time.Until(ca.Certificate().NotAfter)
	o.sim.Set(true, left-31*24*time.Hour)
	o.wants("31 days before its end", alerts.BadgeListUnheard)
	o.sim.Set(true, left-29*24*time.Hour)
	o.wants("29 days before its end", alerts.BadgeCAExpiring, alerts.BadgeListUnheard)
	o.sim.Set(true, left+time.Hour)
	o.wants("after its end", alerts.BadgeCAExpired, alerts.BadgeListUnheard)
}

// TestAlertsAboutTheListOfLosses: missing, refused, old; and it survives a restart.
func TestAlertsAboutTheListOfLosses(t *testing.T) {
	o := newBadgeOffice(t)
	o.open()
	list := o.badges.topics()["badge-revoked"]
	now := o.time.Now().WallTime()
	list.Receive(o.sign("badge-revoked", "*", 7, now.Add(-29*24*time.Hour), "revoked", `[{"uid":"04A1B2C3D4E5F6"}]`))
	o.wants("with a list of 29 days")
	uid := []byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6}
	if h := o.badgesHealth(); !o.badges.revoked.Has(uid) || h == nil || h.Revoked == nil || h.Revoked.Serial != 7 || h.Revoked.Entries != 1 || h.Revoked.AgeS == nil || *h.Revoked.AgeS/86400 != 29 {
		t.Errorf("health says %+v", h)
	}
	o.sim.Set(true, 2*24*time.Hour)
	o.wants("with a list of 31 days", alerts.BadgeListOld)
	o.sim.Set(true, 0)
	list.Receive(o.sign("badge-revoked", "*", 6, now, "revoked", `[]`))
	o.wants("after a replay", alerts.BadgeListRefused)
	list.Receive(o.sign("badge-revoked", "*", 8, now, "revoked", `[{"name":"Sari"}]`))
	o.wants("after a wrong one", alerts.BadgeListRefused)
	o.open()
	if !o.badges.revoked.Has(uid) {
		t.Error("a restart forgets the list")
	}
	o.badges.topics()["badge-revoked"].Receive(o.sign("badge-revoked", "*", 8, now, "revoked", `[]`))
	if o.wants("with an empty list"); o.badges.revoked.Has(uid) {
		t.Error("the badge is still lost")
	}
	o.sim.Set(false, 90*24*time.Hour)
	o.wants("while the time is not known")
	if h := o.badgesHealth(); h.Revoked.AgeS != nil {
		t.Errorf("its age is %d s, although the time is not known", *h.Revoked.AgeS)
	}
}

// TestAlertsAboutTheKeysOfBadges: missing though the roster asks for them, sealed to
// somebody else, for all gateways; and they are kept sealed, for this user alone.
func TestAlertsAboutTheKeysOfBadges(t *testing.T) {
	o := newBadgeOffice(t)
	o.open()
	o.documents.roster.SetFile([]roster.Pair{{Badge: "04A1B2C3D4E5F6", Assurance: card.AssuranceDESFire}})
	o.wants("without keys", alerts.BadgeKeysMissing)
	keys := o.badges.topics()["badge-keys"]
	now := o.time.Now().WallTime()
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys.Receive(o.sign("badge-keys", "dinkes-01", 3, now, "sealed", o.seal(stranger, 3, someKeys)))
	o.wants("sealed to somebody else", alerts.BadgeKeysRefused, alerts.BadgeKeysMissing)
	keys.Receive(o.sign("badge-keys", "*", 3, now, "sealed", o.seal(o.own, 3, someKeys)))
	o.wants("for all gateways", alerts.BadgeKeysRefused, alerts.BadgeKeysMissing)
	keys.Receive(o.sign("badge-keys", "dinkes-01", 3, now, "sealed", o.seal(o.own, 3, someKeys)))
	o.wants("with keys")
	uid := []byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6}
	if h := o.badgesHealth(); h == nil || h.Keys == nil || h.Keys.Serial != 3 || h.Keys.Entries != 1 || h.Keys.Refused != 2 || o.leastOf(uid) != card.AssuranceDESFire {
		t.Errorf("health says %+v", h)
	}
	keys.Receive(o.sign("badge-keys", "dinkes-01", 3, now, "sealed", o.seal(o.own, 3, someKeys)))
	o.wants("sealed anew under the same serial")
	keys.Receive(o.sign("badge-keys", "dinkes-01", 2, now, "sealed", o.seal(o.own, 2, someKeys)))
	o.wants("after a replay", alerts.BadgeKeysRefused)

	file := filepath.Join(o.cfg.Gateway.StateDir, "badge-keys.json")
	text, err := os.ReadFile(file)
	info, failed := os.Stat(file)
	if err != nil || failed != nil || info.Mode().Perm() != 0o600 || strings.Contains(strings.ToLower(string(text)+o.log.String()), "112233445566778899aabb") {
		t.Errorf("kept as %v (%v): %s", info, err, text)
	}
	o.open()
	o.wants("after a restart")
	if err := os.Rename(o.cfg.MQTT.KeyFile, o.cfg.MQTT.KeyFile+".gone"); err != nil {
		t.Fatal(err)
	}
	o.open()
	o.wants("after a restart without the gateway's key", alerts.BadgeKeysRefused, alerts.BadgeKeysMissing)
}

// TestTheStricterOfRosterAndKeysCounts.
func TestTheStricterOfRosterAndKeysCounts(t *testing.T) {
	o := newBadgeOffice(t)
	o.open()
	uid := []byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6}
	if got := o.leastOf(uid); got != "" {
		t.Errorf("a stranger must show %q", got)
	}
	o.badges.topics()["badge-keys"].Receive(o.sign("badge-keys", "dinkes-01", 3, time.Now(), "sealed", o.seal(o.own, 3, someKeys)))
	if got := o.leastOf(uid); got != card.AssuranceDESFire {
		t.Errorf("with a key it must show %q", got)
	}
	o.documents.roster.SetFile([]roster.Pair{{Badge: "04A1B2C3D4E5F6", Assurance: card.AssurancePIV}})
	if got := o.leastOf(uid); got != card.AssurancePIV {
		t.Errorf("enrolled as PIV it must show %q", got)
	}
}

// TestTheDoctorTriesEveryTopicOfADocument: those that it asks the broker for are those that
// the gateway reads.
func TestTheDoctorTriesEveryTopicOfADocument(t *testing.T) {
	o := newBadgeOffice(t)
	o.cfg.City.KeyFile = "city.pem" // which newBadgeOffice has read
	o.cfg.Gateway.Timezone = time.UTC
	o.openRoster()
	o.openHours()
	o.open()
	read := o.documents.topics()
	maps.Copy(read, o.badges.topics())
	tried := configured.DocumentTopics(o.cfg)
	slices.Sort(tried)
	if got := slices.Sorted(maps.Keys(read)); !slices.Equal(got, tried) || len(got) != 4 {
		t.Errorf("the gateway reads %q, the doctor tries %q", got, tried)
	}
	o.cfg.City.KeyFile = ""
	if tried := configured.DocumentTopics(o.cfg); len(tried) != 0 {
		t.Errorf("without the city's key the doctor tries %q", tried)
	}
}

// TestTheListIsKeptEncrypted: numbers of cards may stand in it.
func TestTheListIsKeptEncrypted(t *testing.T) {
	o := newBadgeOffice(t)
	o.cfg.Badges.PlainUID, o.cfg.Badges.Key = false, &[32]byte{1, 2, 3}
	o.open()
	o.badges.topics()["badge-revoked"].Receive(o.sign("badge-revoked", "*", 7, time.Now(), "revoked", `[{"uid":"04A1B2C3D4E5F6"}]`))
	text, err := os.ReadFile(filepath.Join(o.cfg.Gateway.StateDir, "badge-revoked.json"))
	if err != nil || strings.Contains(string(text), "envelope") || !strings.Contains(string(text), "sealed") {
		t.Errorf("kept is %s (%v)", text, err)
	}
	o.open()
	if !o.badges.revoked.Has([]byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6}) {
		t.Error("a restart forgets it")
	}
}

// TestDatesOfCertificatesGoByWhatIsKnown: by the clock where it is right, and else by what is
// past for sure.
func TestDatesOfCertificatesGoByWhatIsKnown(t *testing.T) {
	o := newBadgeOffice(t)
	at := o.time.Now()
	if from, to := o.between(at); from.After(at.WallTime()) || to.Before(at.WallTime()) || to.Sub(from) > time.Minute {
		t.Errorf("at %v: from %v to %v", at.WallTime(), from, to)
	}
	o.sim.Set(false, -20*365*24*time.Hour)
	if from, to := o.between(o.time.Now()); !to.IsZero() || from.Before(build.Time()) {
		t.Errorf("without a clock: from %v to %v", from, to)
	}
}
