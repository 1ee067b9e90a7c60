package kittest_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/city"
	"presence/scripts/deb/debtest"
)

// threeOffices are a list of offices in two departments.
const threeOffices = "id,dinas,place,lat,lon,radius\ndinkes-01,dinkes,Puskesmas Dinoyo,,,\ndinkes-02,dinkes,Puskesmas Janti,,,\ndishub-01,dishub,Terminal,,,\n"

// published is the signed document that the city published last for an office.
type published struct {
	Payload, Signature []byte
}

func (d *desk) published(kind, office string) (p published) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.read("published", kind, office+".json")), &p); err != nil {
		d.t.Fatal(err)
	}
	return p
}

// read is a file of the city's folder.
func (d *desk) read(parts ...string) string {
	d.t.Helper()
	return debtest.Read(d.t, filepath.Join(append([]string{d.city.CA}, parts...)...))
}

// has reports whether a file is in the city's folder.
func (d *desk) has(parts ...string) bool {
	_, err := os.Stat(filepath.Join(append([]string{d.city.CA}, parts...)...))
	return err == nil
}

// signedBy reports whether a document is signed with the key that goes with a public one.
func (p published) signedBy(t *testing.T, public string) bool {
	t.Helper()
	block, _ := pem.Decode([]byte(public))
	if block == nil {
		t.Fatalf("no public key but %q", public)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.Verify(key.(ed25519.PublicKey), p.Payload, p.Signature)
}

// TestHoursOfADepartment: hours, a period and a holiday of one department reach its
// offices, also one that has hours of its own, and no other department's.
func TestHoursOfADepartment(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin")
	d := newDesk(t, c, c.Broker(), threeOffices)
	week := filepath.Join(t.TempDir(), "week.json")
	debtest.Write(t, week, `{"mon":"07:30-16:00"}`, 0o600)
	d.says(0, []string{"hours: 0 of 3 gateways"}, "C", "hours", week, "--all")
	d.says(0, []string{"hours: 0 of 1 gateways"}, "C", "hours", week, "dinkes-02") // its own from now on
	debtest.Write(t, week, `{"mon":"08:00-15:00"}`, 0o600)
	d.says(0, []string{"hours: 0 of 2 gateways"}, "C", "hours", week, "--dinas", "dinkes")
	d.says(0, []string{"dinkes-01", "dinkes-02", "hours: 0 of 2 gateways"}, "C", "period", "2027-02-08", "2027-03-09", "mon-thu=08:00-14:00", "--dinas", "dinkes")
	d.says(0, []string{"hours: 0 of 2 gateways"}, "C", "holiday", "2027-01-01", "Tahun Baru", "--dinas", "dinkes")
	for office, want := range map[string][]string{
		"dinkes_dinkes-01": {`"08:00-15:00"`, "2027-03-09", `"thu": "08:00-14:00"`, "2027-01-01"},
		"dinkes_dinkes-02": {`"07:30-16:00"`, "2027-03-09", `"thu": "08:00-14:00"`, "2027-01-01"},
		"dishub_dishub-01": {`"07:30-16:00"`},
	} {
		payload := string(d.published("hours", office).Payload)
		for _, w := range want {
			if !strings.Contains(payload, w) {
				t.Errorf("the hours of %s have no %s but are %s", office, w, payload)
			}
		}
		if strings.HasPrefix(office, "dishub") && strings.Contains(payload, "2027") {
			t.Errorf("another department's hours have changed: %s", payload)
		}
	}
	if text := d.read("hours.json"); strings.Contains(text, "2027") {
		t.Errorf("everybody's hours have changed: %s", text)
	}
	d.says(1, []string{"for whom?"}, "C", "period", "2027-02-08", "2027-03-09", "mon=08:00-14:00", "--dinas", "disdik")
	d.says(1, []string{"untuk siapa?"}, "id_ID.UTF-8", "holiday", "2027-01-01", "Tahun Baru", "--dinas", "disdik")
}

// TestRotateCityKey: documents are signed with the new key from then on, the old one is
// kept, and it is said that every gateway has to be visited.
func TestRotateCityKey(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin")
	d := newDesk(t, c, c.Broker(), threeOffices)
	debtest.Write(t, filepath.Join(c.CA, "hours.json"), `{"mon":"07:30-16:00"}`, 0o600)
	d.says(0, []string{"hours: 0 of 3"}, "C", "hours", "--all")
	oldKey, oldPublic := d.read("city.key"), d.read("city.pem")
	if !d.published("hours", "dinkes_dinkes-01").signedBy(t, oldPublic) {
		t.Fatal("the hours are not signed with the city's key")
	}
	d.says(0, []string{"visit every gateway", "gatewayd-city hours --all"}, "C", "rotate", "city-key")
	newPublic := d.read("city.pem")
	if newPublic == oldPublic {
		t.Fatal("the public key is the old one")
	}
	kept, err := filepath.Glob(filepath.Join(c.CA, "city.key.before-*"))
	if err != nil || len(kept) != 1 || debtest.Read(t, kept[0]) != oldKey {
		t.Errorf("the old key is not kept: %v %v", kept, err)
	}
	for _, name := range append(kept, filepath.Join(c.CA, "city.key")) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	d.says(0, []string{"hours: 0 of 3"}, "C", "hours", "--all")
	for _, office := range []string{"dinkes_dinkes-01", "dishub_dishub-01"} {
		if p := d.published("hours", office); !p.signedBy(t, newPublic) || p.signedBy(t, oldPublic) {
			t.Errorf("the hours of %s are not signed with the new key", office)
		}
	}
	d.says(1, []string{`"dance" is no program`}, "C", "rotate", "dance")
}

// TestClearWhatAMovedGatewayLeft: of a gateway that has moved to another department under
// the same id, offline names what is left at the broker, and clear removes that only.
func TestClearWhatAMovedGatewayLeft(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin", "monitor")
	b := c.Broker()
	d := newDesk(t, c, b, threeOffices)
	cert, key := c.Issue("dinkes-01")
	gateway := call(t, c.As(b, cert, key), "dinkes-01", true)
	for _, dinas := range []string{"dishub", "dinkes"} {
		for _, topic := range []string{"info", "health", "alert/no-rtc"} {
			done(t, gateway.Publish("presence/v1/"+dinas+"/dinkes-01/"+topic, 1, true, `{"v":1}`))
		}
		done(t, gateway.Publish("presence/v1/"+dinas+"/dinkes-01/status", 1, true, `{"state":"online"}`))
	}
	left := "gatewayd-city clear dishub dinkes-01"
	d.says(1, []string{left}, "C", "offline")
	// Those four, and what admin may not read: the four documents and the receipt.
	d.says(0, []string{"dishub/dinkes-01: 9 topics cleared"}, "C", "clear", "dishub", "dinkes-01")
	if said, _ := d.run("C", "offline"); strings.Contains(said, left) {
		t.Errorf("it is still there:\n%s", said)
	}
	seen := b.Subscribe("presence/v1/#", c.AsProgram(b, "monitor")).Await("what is kept", func(m []brokertest.Message) bool { return len(m) >= 4 })
	for _, m := range seen {
		if !strings.HasPrefix(m.Topic, "presence/v1/dinkes/dinkes-01/") {
			t.Errorf("%s is kept", m.Topic)
		}
	}
	d.says(2, nil, "C", "clear", "dishub")
}

// TestTheListOfOffices: what add, rename, list and retire do to the city's folder.
func TestTheListOfOffices(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin")
	d := newDesk(t, c, c.Broker(), threeOffices)
	d.says(0, []string{"disdik.toml is new", "gatewayd-city stick FOLDER disdik-07"}, "C", "add", "disdik-07", "disdik", "place=SDN 7")
	if text := d.read("disdik.toml"); !strings.Contains(text, `"tls://127.0.0.1:`) {
		t.Errorf("the template names another broker: %s", text)
	}
	d.says(1, nil, "C", "add", "disdik-07", "disdik")
	d.says(2, nil, "C", "add", "disdik-08")
	debtest.Write(t, filepath.Join(c.CA, "hours", "disdik-07.json"), `{"mon":"07:00-13:00"}`, 0o600)
	debtest.Write(t, filepath.Join(c.CA, "rosters", "disdik-07.csv"), "kartu,tag\n04A1B2C3,reyax:50\n", 0o600)
	debtest.Write(t, filepath.Join(c.CA, "staff", "disdik-07.csv"), "uid\n", 0o600)
	d.says(0, []string{"roster: 0 of 1"}, "C", "roster", "disdik-07")
	d.says(0, []string{"di Pi: sudo gatewayd-provision rename disdik-17 disdik"}, "id_ID.UTF-8", "rename", "disdik-07", "disdik-17")
	for _, name := range []string{"hours/disdik-17.json", "rosters/disdik-17.csv", "staff/disdik-17.csv"} {
		if !d.has(name) || d.has(strings.Replace(name, "17", "07", 1)) {
			t.Errorf("%s did not move", name)
		}
	}
	d.says(0, []string{"disdik-17\tdisdik\tSDN 7\n"}, "C", "list")
	// The old name was never at the broker; what was published for it goes.
	d.says(0, []string{"disdik/disdik-07: 5 topics cleared"}, "C", "retire", "disdik-07")
	if d.has("published/roster/disdik_disdik-07.json") {
		t.Error("what was published under the old name is kept")
	}
	d.says(1, []string{"never had a certificate"}, "C", "retire", "disdik-99")
}

// TestRenewCopiesToTheWebServer: what gateways fetch is copied to where city.conf says.
func TestRenewCopiesToTheWebServer(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree)
	d := newDesk(t, c, c.Broker(), threeOffices)
	c.Issue("dinkes-01")
	bin := t.TempDir()
	debtest.Write(t, filepath.Join(bin, "rsync"), "#!/bin/sh\nprintf '%s ' \"$@\"\n", 0o755)
	d.path = bin + ":"
	if said, status := d.run("C", "renew"); status != 0 || said != "" {
		t.Errorf("with no web server it says, %d: %s", status, said)
	}
	debtest.Write(t, filepath.Join(c.CA, "city.conf"), d.read("city.conf")+"web = web:/srv/gatewayd/issued/\n", 0o600)
	d.says(0, []string{"-a --delete " + c.CA + "/issued/ web:/srv/gatewayd/issued/"}, "C", "renew")
}

// TestTheTableOfBadges: a card has another identity at each gateway of the list, and the
// table has them all.
func TestTheTableOfBadges(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree)
	d := newDesk(t, c, c.Broker(), threeOffices)
	cards := filepath.Join(t.TempDir(), "cards.csv")
	debtest.Write(t, cards, "kartu,nip\n04A1B2C3D4E5F6,1985\n", 0o600)
	var key [32]byte
	if _, err := hex.Decode(key[:], []byte(kittest.BadgeKey)); err != nil {
		t.Fatal(err)
	}
	var table, fingerprints []string
	for _, id := range []string{"dinkes-01", "dinkes-02", "dishub-01"} {
		own := city.GatewayBadgeKey(key, id)
		table = append(table, id+","+city.BadgeIdentity(own, []byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6})+",04A1B2C3D4E5F6,1985\n")
		fingerprints = append(fingerprints, id+","+city.BadgeKeyFingerprint(own)+"\n")
	}
	d.says(0, table, "C", "badges", cards)
	// Once the card has a certificate, it has a second name at each.
	guid := city.GUIDOf([]byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6})
	debtest.Write(t, filepath.Join(c.CA, "badge-index.txt"), "V\t291128125537Z\t\t0C78\tunknown\t/CN="+guid.String()+"\n", 0o600)
	for _, id := range []string{"dinkes-01", "dinkes-02", "dishub-01"} {
		table = append(table, id+","+city.BadgeIdentity(city.GatewayBadgeKey(key, id), guid[:])+",04A1B2C3D4E5F6,1985\n")
	}
	d.says(0, table, "C", "badges", cards)
	d.says(0, fingerprints, "C", "badges", "-fingerprints")
}

// TestDocumentsSaysWhoHasTaken: what was published last, and who goes by it.
func TestDocumentsSaysWhoHasTaken(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin")
	b := c.Broker()
	d := newDesk(t, c, b, threeOffices)
	d.says(0, []string{"hours: nothing was published", "roster: nothing was published"}, "C", "documents")
	d.office(b, "dinkes-01", true)
	debtest.Write(t, filepath.Join(c.CA, "hours.json"), `{"mon":"07:30-16:00"}`, 0o600)
	d.says(0, []string{"hours: 1 of 3"}, "C", "hours", "--all")
	d.says(0, []string{"dinkes-02 (Puskesmas Janti): never connected", "hours: 1 of 3 gateways have taken it"}, "C", "documents")
	d.says(0, []string{"jam kerja: 1 dari 1 gateway sudah memakainya"}, "id_ID.UTF-8", "documents", "dinkes-01")
}

// TestOfficesInIndonesian: what the authority and the offices' sticks say is Indonesian
// under an Indonesian locale, and the paper holds all that it holds in English.
func TestOfficesInIndonesian(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree)
	d := newDesk(t, c, c.Broker(), threeOffices)
	for _, dinas := range []string{"dinkes", "dishub"} {
		debtest.Write(t, filepath.Join(c.CA, dinas+".toml"), debtest.Read(t, c.Path("scripts/city/dinas.toml")), 0o600)
	}
	d.says(0, []string{
		"Stik-stik belum memuat renew-url, sehingga sertifikat tidak akan diperbarui", "belum bersertifikat: dinkes-01 dinkes-02 dishub-01",
		"sidik jari kota " + c.Fingerprint(), "made=3 ",
	}, "id_ID.UTF-8", "offices")
	paper := d.read("offices", "dinkes-01", "paper.txt")
	for _, want := range []string{`tempat: +Puskesmas Dinoyo`, `Sidik jari kota: +` + c.Fingerprint(), `(?m)^Kata sandi kunci kartu: +[a-z]+( [a-z]+){5}$`, `gatewayd-provision usb dinkes-01 dinkes`} {
		if !regexp.MustCompile(want).MatchString(paper) {
			t.Errorf("the paper has no %s but is\n%s", want, paper)
		}
	}
	request, _ := c.Request("dinkes-01")
	d.says(0, []string{"sidik jari permintaannya ", "berlaku sampai "}, "id_ID.UTF-8", "sign", request)
	d.says(0, []string{"dinkes-01: dicabut, dengan semua 1 sertifikat", "Sekarang broker: "}, "id_ID.UTF-8", "revoke", "dinkes-01")
	d.says(1, []string{"ca: dinkes-99 tidak punya sertifikat"}, "id_ID.UTF-8", "revoke", "dinkes-99")
}

// TestAuditOfACity: with the keys that the city has certified, and whatever files are named.
func TestAuditOfACity(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree)
	d := newDesk(t, c, c.Broker(), threeOffices)
	known, err := filepath.Abs(filepath.Join(tree, "scripts/city/internal/chain/testdata"))
	if err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(known, "vectors.jsonl")
	d.says(1, []string{"no gateway has a seal key yet"}, "C", "audit", events)
	debtest.Write(t, filepath.Join(c.CA, "seal-keys", "dinkes-01.pem"), debtest.Read(t, filepath.Join(known, "keys", "dinkes-01.pem")), 0o644)
	d.says(0, []string{"sealed dinkes-01 ", "audit: intact"}, "C", "audit", events)
	d.says(0, []string{"disegel dinkes-01 ", "audit: intact"}, "id_ID.UTF-8", "audit", "-captured", events)
	d.says(1, []string{": missing: "}, "C", "audit", "-head", "x-1:"+strings.Repeat("0", 32), events)
	d.says(2, []string{"read events"}, "C", "audit", "none.jsonl")
}

// TestEveryJobIsTried: each job of gatewayd-city is called in BROKER.md, which is typed
// word for word, or by a test of this package.
func TestEveryJobIsTried(t *testing.T) {
	t.Parallel()
	script := debtest.Read(t, filepath.Join(tree, "scripts/city/gatewayd-city"))
	_, list, _ := strings.Cut(script, "cat <<'JOBS'\n")
	list, _, _ = strings.Cut(list, "\nJOBS\n")
	var tried []string
	for _, block := range regexp.MustCompile("(?m)^```sh (?:city|broker|pi)\n((?:.*\n)*?)```$").FindAllStringSubmatch(debtest.Read(t, filepath.Join(tree, "scripts/city/BROKER.md")), -1) {
		for _, m := range regexp.MustCompile(`(?m)^gatewayd-city ([a-z-]+)`).FindAllStringSubmatch(block[1], -1) {
			tried = append(tried, m[1])
		}
	}
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tests {
		for _, m := range regexp.MustCompile(`d\.says\(0, .*?"(?:C|id_ID\.UTF-8)", "([a-z-]+)"`).FindAllStringSubmatch(debtest.Read(t, name), -1) {
			tried = append(tried, m[1])
		}
	}
	jobs := regexp.MustCompile(`(?m)^([a-z-]+)\|`).FindAllStringSubmatch(list, -1)
	if len(jobs) < 29 {
		t.Fatalf("only %d jobs are found", len(jobs))
	}
	for _, job := range jobs {
		if !slices.Contains(tried, job[1]) {
			t.Errorf("nobody tries gatewayd-city %s", job[1])
		}
	}
}
