package scripts_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"presence/config"
	"presence/scripts/deb/debtest"
)

// columns are those of the city's list of offices.
const columns = "id,dinas,place,contact,lat,lon,radius,reader,receivers\n"

// hall is a city's desk with what it makes offices of, and its list.
type hall struct {
	*desk
	list    string
	program string // gatewayd, by which documents are checked
}

func newHall(t *testing.T, list string) *hall {
	t.Helper()
	h := &hall{desk: newDesk(t), program: filepath.Join(t.TempDir(), "gatewayd")}
	h.list = filepath.Join(h.ca, "offices.csv")
	program, err := gatewayd()
	if err != nil {
		t.Fatal(err)
	}
	debtest.Write(t, h.program, string(program), 0o755)
	for _, args := range [][]string{
		{"genpkey", "-algorithm", "ed25519", "-out", "city.key"},
		{"pkey", "-in", "city.key", "-pubout", "-out", "city.pem"},
	} {
		cmd := exec.Command("openssl", args...)
		cmd.Dir = h.ca
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl: %v %s", err, out)
		}
	}
	h.put("badge.key", strings.Repeat("0123456789abcdef", 4))
	h.put("dinkes.toml", debtest.Read(t, "city/dinas.toml"))
	h.put("renew-url", "https://mqtt.example.go.id/issued\n")
	h.put("gatewayd_1_arm64.deb", "a package")
	h.put("offices.csv", list)
	return h
}

func (h *hall) put(name, text string) {
	h.t.Helper()
	debtest.Write(h.t, filepath.Join(h.ca, name), text, 0o600)
}

// offices runs offices.sh and returns what it said, and its last line.
func (h *hall) offices(wantOK bool, args ...string) (out, last string) {
	h.t.Helper()
	out, ok := run(h.t, append(secrets, "CA_DIR="+h.ca, "GATEWAYD="+h.program), "city/offices.sh", append([]string{h.list}, args...)...)
	if ok != wantOK {
		h.t.Fatalf("offices.sh %v: %s", args, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return out, regexp.MustCompile(` seconds=\d+$`).ReplaceAllString(lines[len(lines)-1], "")
}

// office is a path below what was made of an office.
func (h *hall) office(id string, parts ...string) string {
	return filepath.Join(append([]string{h.ca, "offices", id}, parts...)...)
}

// A list with a mistake is told which, with its line, and nothing at all is done.
func TestOfficesTakesARightListOrNone(t *testing.T) {
	t.Parallel()
	h := newHall(t, columns)
	h.put("rosters/dinkes-01.csv", "kartu,tag\n04A1B2C3,reyax:50\n")
	const good = "dinkes-01,dinkes,,,-7.9778,112.634,100,,\n"
	before := snapshot(t, h.ca)
	for name, tc := range map[string]struct{ list, says string }{
		"empty":               {"", "offices.csv:0: is empty"},
		"no office":           {columns, "there is no office in it"},
		"unknown column":      {"id,dinas,lat,lon,radius,lamp\n" + good, `offices.csv:1: "lamp" is no column`},
		"column twice":        {"id,dinas,lat,lon,radius,radius_m\n" + good, "offices.csv:1: the column radius is there twice"},
		"no dinas":            {"id,lat,lon,radius\ndinkes-01,-7.9,112.6,100\n", "offices.csv:1: there is no column dinas"},
		"wrong id":            {columns + "Dinkes 01,dinkes,,,,,,,\n", `offices.csv:2: "Dinkes 01" is no id`},
		"id twice":            {columns + good + "\n" + good, "offices.csv:4: the id dinkes-01 is that of line 2 as well"},
		"name of the city":    {columns + "recorder,dinkes,,,,,,,\n", `offices.csv:2: "recorder" is a name of the city`},
		"wrong dinas":         {columns + "dinkes-01,Dinas Kesehatan,,,,,,,\n", `offices.csv:2: "Dinas Kesehatan" is no dinas`},
		"swapped":             {columns + "dinkes-01,dinkes,,,112.634,-7.9778,100,,\n", "offices.csv:2: lat and lon are swapped: lat is -7.9778, lon is 112.634"},
		"north":               {columns + "dinkes-01,dinkes,,,7.9778,112.634,100,,\n", `offices.csv:2: lat is "7.9778": degrees within Indonesia`},
		"no minutes":          {columns + "dinkes-01,dinkes,,,7°58'S,112.634,100,,\n", `offices.csv:2: lat is "7°58'S"`},
		"thousands":           {columns + "dinkes-01,dinkes,,,-7.977.800,112.634,100,,\n", `offices.csv:2: lat is "-7.977.800"`},
		"decimal comma":       {columns + "dinkes-01,dinkes,,,-7,9778,112,634,100,,\n", `offices.csv:2: there are 11 cells`},
		"quoted comma":        {columns + "dinkes-01,dinkes,,,\"-7,9778\",112.634,100,,\n", `offices.csv:2: lat is "-7,9778"`},
		"no radius":           {columns + "dinkes-01,dinkes,,,-7.9778,112.634,,,\n", `offices.csv:2: radius is ""`},
		"radius":              {columns + "dinkes-01,dinkes,,,-7.9778,112.634,0.1,,\n", `offices.csv:2: radius is "0.1"`},
		"reader":              {columns + "dinkes-01,dinkes,,,,,,Pintu Depan,\n", `offices.csv:2: "Pintu Depan" is no name of a reader`},
		"receiver":            {columns + "dinkes-01,dinkes,,,,,,,yard\n", `offices.csv:2: the receiver "yard" is not NAME=PROTOCOL`},
		"receiver's name":     {columns + "dinkes-01,dinkes,,,,,,,Yard=kenwood\n", `offices.csv:2: the receiver "Yard=kenwood" is not NAME=PROTOCOL`},
		"protocol":            {columns + "dinkes-01,dinkes,,,,,,,yard=kenwod\n", `offices.csv:2: "kenwod" of the receiver yard is no protocol`},
		"port":                {columns + "dinkes-01,dinkes,,,,,,,yard=kenwood@COM3\n", `offices.csv:2: "COM3" of the receiver yard is no port`},
		"port with a quote":   {columns + "dinkes-01,dinkes,,,,,,,\"yard=kenwood@/dev/a\"\"b\"\n", `of the receiver yard is no port`},
		"two at one port":     {columns + "dinkes-01,dinkes,,,,,,,yard=kenwood back=reyax\n", "offices.csv:2: two receivers are at /dev/gatewayd/header"},
		"two of one name":     {columns + "dinkes-01,dinkes,,,,,,,yard=kenwood yard=reyax@/dev/ttyUSB0\n", "offices.csv:2: two receivers are called yard"},
		"open quote":          {columns + "dinkes-01,dinkes,\"Jl. Ijen\n1\",,,,,,\n", "offices.csv:2: a quote is not closed"},
		"UTF-16":              {"\xff\xfei\x00d\x00", "offices.csv:1: is UTF-16"},
		"Windows-1252":        {columns + "dinkes-01,dinkes,Caf\xe9,,,,,,\n", "offices.csv:2: is not UTF-8"},
		"two, and each told":  {columns + "x y,dinkes,,,,,,,\ndinkes-01,,,,,,,,\n", "offices.csv:3: \"\" is no dinas"},
		"with more cells":     {columns + "dinkes-01,dinkes,Jl. Ijen, Klojen,,-7.9778,112.634,100,,yard=kenwood\n", "offices.csv:2: there are 10 cells"},
		"control character":   {columns + "dinkes-01,dinkes,a\x07b,,,,,,\n", "offices.csv:2: place has a control character"},
		"half of the columns": {"id;dinas;lat\ndinkes-01;dinkes;-7,9\n", "offices.csv:1: there is no column lon"},
	} {
		h.put("offices.csv", tc.list)
		if out, ok := run(t, nil, "./provision.sh", "list-offices", h.list); ok || !strings.Contains(out, tc.says) || strings.Contains(out, "\t") {
			t.Errorf("%s: it says %s", name, out)
		}
	}
	h.put("perpus.toml", "id = \"@ID@\"\n")
	for list, says := range map[string]string{
		"x y,dinkes,,,,,,,\n":                          `offices.csv:2: "x y" is no id`,
		"dinkop-01,dinkop,,,,,,,\n":                    "offices.csv:2: there is no template",
		good + "perpus-01,perpus,,,,,,back,\n":         "offices.csv:3: the list of offices names a reader, and the template has no @READER@",
		good + "perpus-01,perpus,,,,,,,yard=kenwood\n": "offices.csv:3: the list of offices names receivers, and the template has no line #@RECEIVERS@",
		"dinkes-02,dinkes,,,,,,,\n":                    "rosters/dinkes-01.csv is for no office",
	} {
		h.put("offices.csv", columns+list)
		if out, _ := h.offices(false); !strings.Contains(out, says) || !strings.Contains(out, "nothing was done") {
			t.Errorf("%s: it says %s", list, out)
		}
	}
	// What goes into the documents is looked at before as well.
	h.put("offices.csv", columns+good)
	h.put("rosters/dinkes-01.csv", "kartu,tag\n12345600,reyax:50\n")
	if out, _ := h.offices(false); !strings.Contains(out, "rosters/dinkes-01.csv:2: ") {
		t.Errorf("of a roster from Excel it says %s", out)
	}
	h.put("rosters/dinkes-01.csv", "kartu,tag\n04A1B2C3,reyax:50\n")
	if out, ok := run(t, []string{"CA_PASSPHRASE=guess", "CA_DIR=" + h.ca, "GATEWAYD=" + h.program}, "city/offices.sh", h.list); ok || !strings.Contains(out, "the passphrase is wrong; nothing was done") {
		t.Errorf("of a wrong passphrase it says %s", out)
	}
	h.put("offices.csv", columns)
	for _, name := range []string{"perpus.toml", "offices.lock"} {
		if err := os.Remove(filepath.Join(h.ca, name)); err != nil {
			t.Fatal(err)
		}
	}
	if after := snapshot(t, h.ca); after != before {
		t.Error("something was done all the same")
	}
}

// Offices are made once: what stands is not touched, unless it is told to.
func TestOfficesAddsAndChangesNothing(t *testing.T) {
	t.Parallel()
	const list = "\xef\xbb\xbfsep=;\r\nID;Dinas;Place;Contact;Lat;Lon;Radius;Reader;Receivers\r\n" +
		"dinkes-01;dinkes;\"Jl. \"\"Ijen\"\" 1; Klojen\";Ibu Sri;-7,9778;112,6340;100;;yard=kenwood\r\n;;;;;;;;\r\n" +
		"dinkes-02;dinkes;;;;;;-;yard=reyax@/dev/serial/by-id/usb-1 back=waypoint\r\n"
	h := newHall(t, list)
	h.put("hours.json", `{"mon":"07:30-16:00"}`)
	h.put("hours/dinkes-02.json", `{"mon":"09:00-10:00"}`)
	h.put("rosters/dinkes-01.csv", "kartu,tag\n04A1B2C3,reyax:50\n")
	out, last := h.offices(true)
	if last != "offices: made=2 unchanged=0 changed=0 signed=0 refused=0 missing=2 published=0" || !strings.Contains(out, "without a certificate: dinkes-01 dinkes-02") {
		t.Errorf("it says %s", out)
	}
	for path, want := range map[string]bool{"roster.json": true, "hours.json": true, "stick/badge.key.enc": true, "stick/install.sh": true, "paper.txt": true} {
		if _, err := os.Stat(h.office("dinkes-01", path)); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := os.Stat(h.office("dinkes-02", "roster.json")); err == nil {
		t.Error("dinkes-02 has a roster of nobody")
	}
	// The stick of one office says nothing of the others, and holds no passphrase.
	paper := debtest.Read(t, h.office("dinkes-01", "paper.txt"))
	if !strings.Contains(paper, "usb dinkes-01 dinkes") || !strings.Contains(paper, h.paper) || !strings.Contains(paper, `Jl. "Ijen" 1; Klojen`) {
		t.Errorf("the paper is %s", paper)
	}
	for _, what := range []string{"Ijen", "Ibu Sri", "112.6340"} {
		if out, found := run(t, nil, "grep", "-rl", what, h.office("dinkes-02")); found {
			t.Errorf("%s stands in %s", what, out)
		}
	}
	if info, err := os.Stat(h.office("dinkes-01", "paper.txt")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the paper is %v %v", info, err)
	}

	before := snapshot(t, h.ca)
	if _, last := h.offices(true); last != "offices: made=0 unchanged=2 changed=0 signed=0 refused=0 missing=2 published=0" || snapshot(t, h.ca) != before {
		t.Errorf("the second time: %s", last)
	}
	h.put("offices.csv", strings.Replace(list, "112,6340", "112,6341", 1)+"dinkes-03;dinkes;;;;;;;\n")
	standing := snapshot(t, h.office("dinkes-01"))
	out, last = h.offices(true)
	if last != "offices: made=1 unchanged=1 changed=1 signed=0 refused=0 missing=3 published=0" ||
		!strings.Contains(out, "left as it was: dinkes-01 (row); to make it anew: --again dinkes-01") || snapshot(t, h.office("dinkes-01")) != standing {
		t.Errorf("after a change of the list: %s", out)
	}
	if out, _ := h.offices(false, "--again", "dinkes-09"); !strings.Contains(out, "no such office") {
		t.Errorf("it says %s", out)
	}
	other := snapshot(t, h.office("dinkes-02"))
	if _, last = h.offices(true, "--again", "dinkes-01"); last != "offices: made=1 unchanged=2 changed=0 signed=0 refused=0 missing=3 published=0" {
		t.Errorf("made again: %s", last)
	}
	if !strings.Contains(debtest.Read(t, h.office("dinkes-01", "stick/offices.csv")), "112.6341") || snapshot(t, h.office("dinkes-02")) != other {
		t.Error("it is not what was asked for")
	}
	h.put("offices.csv", columns+"dinkes-03,dinkes,,,,,,,\n")
	if out, _ := h.offices(false); !strings.Contains(out, "rosters/dinkes-01.csv is for no office") {
		t.Errorf("it says %s", out)
	}
}

// ask runs offices.sh before somebody who types answers, each when its question is there.
func (h *hall) ask(answers map[string]string, args ...string) (string, error) {
	h.t.Helper()
	cmd := exec.Command("city/offices.sh", append([]string{h.list}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CA_PASSPHRASE") }), "CA_DIR="+h.ca, "LC_ALL=C")
	terminal, err := pty.Start(cmd)
	if err != nil {
		h.t.Fatal(err)
	}
	defer terminal.Close()
	stop := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	var said strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := terminal.Read(buf)
		said.Write(buf[:n])
		for question, answer := range answers {
			if strings.Contains(said.String(), question) {
				delete(answers, question)
				if _, err := io.WriteString(terminal, answer+"\n"); err != nil {
					h.t.Fatal(err)
				}
			}
		}
		if err != nil { // the program has left
			return said.String(), cmd.Wait()
		}
	}
}

// Requests are signed with one question for all, and the passphrase is typed once; what
// is not agreed to, or not right, is told and not signed.
func TestOfficesSignsWhatItFinds(t *testing.T) {
	t.Parallel()
	list := columns
	for i := range 5 {
		list += fmt.Sprintf("dinkes-%02d,dinkes,,,,,,,\n", i+1)
	}
	h, thief := newHall(t, list), newDesk(t)
	h.offices(true)
	// One technician has a stick for two offices, another came back with one of them.
	stick := t.TempDir()
	for _, id := range []string{"dinkes-01", "dinkes-02"} {
		if out, ok := run(t, nil, "cp", "-r", h.office(id, "stick"), filepath.Join(stick, id)); !ok {
			t.Fatal(out)
		}
		gateway := newDesk(t)
		gateway.paper = h.paper
		passphrase := strings.TrimSpace(debtest.Read(t, h.office(id, "passphrase")))
		out, ok := run(t, []string{"BADGE_PASSPHRASE=" + passphrase, "CITY_FINGERPRINT=" + h.paper}, "./provision.sh", "--root", gateway.Dir, "usb", stick, id, "dinkes")
		if !ok || !strings.Contains(out, "Write down its fingerprint") {
			t.Fatal(out)
		}
	}
	h.provision("The request is", "request", "dinkes-03", h.office("dinkes-03", "stick/requests"))
	thief.provision("The request is", "request", "dinkes-09", filepath.Join(stick, "requests"))
	debtest.Write(t, filepath.Join(stick, "requests/dinkes-05.csr"), "garbled", 0o644)
	fingerprint := func(id string) string {
		key, _ := run(t, nil, "sh", "-c", "openssl req -in "+filepath.Join(stick, id, "requests", id+".csr")+" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | cut -c 1-4 | tr a-f A-F")
		return strings.TrimSpace(key)
	}
	out, err := h.ask(map[string]string{"Passphrase of the authority: ": "a", "say the same of all of them?": "dinkes-02"}, stick)
	if err == nil || strings.Count(out, "Passphrase") != 1 || strings.Count(out, "say the same") != 1 ||
		!strings.Contains(out, "dinkes-01                         "+fingerprint("dinkes-01")) {
		t.Errorf("%v, it says %s", err, out)
	}
	for _, want := range []string{
		"signed: dinkes-01, fingerprint " + fingerprint("dinkes-01"), "signed: dinkes-03",
		"NOT SIGNED: " + filepath.Join(stick, "dinkes-02/requests/dinkes-02.csr") + " does not agree with the paper",
		"NOT SIGNED: " + filepath.Join(stick, "requests/dinkes-09.csr") + " is for no office of the list",
		"NOT SIGNED: " + filepath.Join(stick, "requests/dinkes-05.csr") + " is no certificate request",
		"without a certificate: dinkes-02 dinkes-04 dinkes-05",
		"made=0 unchanged=5 changed=0 signed=2 refused=3 missing=3",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q but %s", want, out)
		}
	}
	for path, want := range map[string]bool{
		filepath.Join(stick, "dinkes-01/issued/dinkes-01.pem"): true, h.office("dinkes-03", "stick/issued/dinkes-03.pem"): true,
		filepath.Join(stick, "dinkes-02/issued/dinkes-02.pem"): false, filepath.Join(h.ca, "issued/dinkes-09.pem"): false,
	} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	// Signed once is signed.
	serial := debtest.Read(t, filepath.Join(h.ca, "issued/dinkes-01.pem"))
	if out, err := h.ask(map[string]string{"Passphrase of the authority: ": "a", "say the same of all of them?": "y"}, filepath.Join(stick, "dinkes-02")); err != nil || !strings.Contains(out, "signed=1 refused=0 missing=2") {
		t.Errorf("%v, it says %s", err, out)
	}
	if debtest.Read(t, filepath.Join(h.ca, "issued/dinkes-01.pem")) != serial {
		t.Error("dinkes-01 has another certificate")
	}
	// A key that is not the one of before is the old Pi's business first.
	thief.provision("The request is", "request", "dinkes-01", filepath.Join(stick, "dinkes-02/requests"))
	if out, _ := h.offices(false, filepath.Join(stick, "dinkes-02")); !strings.Contains(out, "dinkes-01.csr is not signed: dinkes-01 has a certificate for another key") {
		t.Errorf("it says %s", out)
	}
}

// What the list can say makes a configuration that a gateway takes.
func TestOfficesMakesRightConfigurations(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "offices.csv")
	protocols := config.Protocols()
	var receivers []string
	for i, p := range protocols {
		receivers = append(receivers, fmt.Sprintf("r%d=%s@/dev/serial/by-id/usb-%d", i, p, i))
	}
	debtest.Write(t, list, columns+
		"dinkes-01,dinkes,,,,,,,\n"+
		"dinkes-02,dinkes,\"Jl. \"\"Ijen\"\" \\1\",\"Sri, 0341\",-7,112,80,front,"+strings.Join(receivers, " ")+"\n"+
		"dinkes-03,dinkes,,,,,,-,yard=kenwood\n", 0o644)
	for id, want := range map[string]string{
		"dinkes-01": "door 0 <nil>", "dinkes-02": fmt.Sprintf("front %d &{-7 112 80 } %s", len(protocols), `Jl. "Ijen" \1 (Sri, 0341)`), "dinkes-03": "- 1 <nil>",
	} {
		text, ok := run(t, nil, "./provision.sh", "print-config", "city/dinas.toml", id, "dinkes", list)
		cfg, err := config.Parse("/etc/gatewayd/gatewayd.toml", []byte(text))
		if !ok || err != nil {
			t.Errorf("%s: %v\n%s", id, err, text)
			continue
		}
		reader := "-"
		if len(cfg.Readers) > 0 {
			reader = cfg.Readers[0].Name
		}
		place := ""
		if cfg.Gateway.Place != "" {
			place = cfg.Gateway.Place + " (" + cfg.Gateway.Contact + ")"
		}
		if got := fmt.Sprint(reader, len(cfg.Receivers), " ", cfg.Office, place); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") || cfg.Gateway.ID != id {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

// What the scripts know by heart is what the program and the authority know.
func TestListKnowsProtocolsAndNamesOfTheCity(t *testing.T) {
	t.Parallel()
	script := debtest.Read(t, "provision.sh")
	for _, name := range config.Protocols() {
		if !regexp.MustCompile(`split\("[a-z ]*\b` + name + `\b[a-z ]*", word, " "\)`).MatchString(script) {
			t.Errorf("list_offices in provision.sh does not know the protocol %s", name)
		}
	}
	programs := regexp.MustCompile(`(?m)^programs="(.*)"$`).FindStringSubmatch(debtest.Read(t, "city/ca.sh"))
	for name := range strings.FieldsSeq(programs[1] + " broker") {
		list := filepath.Join(t.TempDir(), "offices.csv")
		debtest.Write(t, list, columns+name+",dinkes,,,,,,,\n", 0o644)
		if out, ok := run(t, nil, "./provision.sh", "list-offices", list); ok || !strings.Contains(out, "a name of the city") {
			t.Errorf("%s: %s", name, out)
		}
	}
}
