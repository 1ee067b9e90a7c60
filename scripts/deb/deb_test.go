package deb_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
	"presence/scripts/skiptest"
)

// project is the top of the source tree.
const project = "../.."

// copyTree copies the source tree to another place, without its history: a
// package must not tell where or when it was built.
func copyTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	list := exec.Command("git", "-C", project, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	names, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		info, err := os.Stat(filepath.Join(project, name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		debtest.Write(t, filepath.Join(dir, name), debtest.Read(t, filepath.Join(project, name)), info.Mode())
	}
	return dir
}

// packages are built once for all tests that install them: one of this tree, and
// a later version whose reference configuration differs, from a copy elsewhere.
func packages(t *testing.T) (first, again, second string) {
	t.Helper()
	first = debtest.Build(t, project, "1.0.0")
	elsewhere := copyTree(t)
	again = debtest.Build(t, elsewhere, "1.0.0")
	reference := filepath.Join(elsewhere, "config/gatewayd.toml")
	debtest.Write(t, reference, debtest.Read(t, reference)+"\n# A later version says more.\n", 0o644)
	return first, again, debtest.Build(t, elsewhere, "2.0.0")
}

func TestPackage(t *testing.T) {
	t.Parallel()
	first, again, second := packages(t)
	for name, test := range map[string]func(t *testing.T){
		"two builds are identical":                               func(t *testing.T) { buildsAreIdentical(t, first, again) },
		"says what dpkg needs":                                   func(t *testing.T) { saysWhatDpkgNeeds(t, first) },
		"the licences of all that is in the binary are there":    func(t *testing.T) { licencesAreThere(t, first) },
		"install, upgrade, remove, purge":                        func(t *testing.T) { installToPurge(t, first, second) },
		"from the first install to the purge where systemd runs": func(t *testing.T) { lifeOnAMachine(t, first, second) },
		"the manual pages are sound and name each command":       func(t *testing.T) { manualPages(t, first) },
		"bash completes commands and flags":                      func(t *testing.T) { completion(t, first) },
		"an upgrade gives a gateway a key for its seals":         func(t *testing.T) { sealKeyOnUpgrade(t, first, second) },
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t) })
	}
}

func buildsAreIdentical(t *testing.T, first, again string) {
	t.Helper()
	if a, b := debtest.Read(t, first), debtest.Read(t, again); !bytes.Equal([]byte(a), []byte(b)) {
		t.Errorf("they differ: %s", first)
	}
}

func saysWhatDpkgNeeds(t *testing.T, first string) {
	t.Helper()
	out, err := exec.Command("dpkg-deb", "--field", first, "Package", "Version", "Architecture", "Maintainer", "Depends", "Section", "Priority").CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for _, field := range []string{"Package: gatewayd", "Version: 1.0.0", "Architecture: " + debtest.Arch(), "Maintainer: ", "Depends: systemd", "Section: ", "Priority: optional"} {
		if !strings.Contains(string(out), field) {
			t.Errorf("no %q in\n%s", field, out)
		}
	}
}

func licencesAreThere(t *testing.T, first string) {
	t.Helper()
	r := debtest.NewRoot(t)
	r.Dpkg("-i", first)
	copyright := debtest.Read(t, r.Path("usr/share/doc/gatewayd/copyright"))
	out, err := exec.Command("go", "version", "-m", r.Path("usr/bin/gatewayd")).Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(string(out), -1)
	if len(modules) < 10 {
		t.Fatalf("the binary names only %d modules", len(modules))
	}
	for _, m := range modules {
		if !strings.Contains(copyright, "\n"+m[1]+" "+m[2]+"\n") {
			t.Errorf("no licence of %s %s", m[1], m[2])
		}
	}
	for _, own := range []string{debtest.Read(t, filepath.Join(project, "LICENSE")), "the Go standard library"} {
		if !strings.Contains(copyright, own) {
			t.Errorf("no licence of %.40q", own)
		}
	}
}

func installToPurge(t *testing.T, first, second string) {
	t.Helper()
	r := debtest.NewRoot(t)
	r.Dpkg("-i", first)
	for path, want := range map[string]string{
		"usr/bin/gatewayd":                               "root:root 755",
		"etc/gatewayd":                                   "root:gatewayd 750",
		"etc/gatewayd/gatewayd.toml":                     "root:root 644",
		"var/lib/gatewayd":                               "gatewayd:gatewayd 750",
		"var/lib/gatewayd/tls":                           "gatewayd:gatewayd 700",
		"usr/lib/systemd/system/gatewayd.service":        "root:root 644",
		"usr/share/man/man8/gatewayd.8.gz":               "root:root 644",
		"usr/share/doc/gatewayd/copyright":               "root:root 644",
		"usr/lib/udev/rules.d/60-gatewayd.rules":         "root:root 644",
		"usr/lib/gatewayd/rollback":                      "root:root 755",
		"usr/lib/gatewayd/renew":                         "root:root 755",
		"usr/lib/gatewayd/header":                        "root:root 755",
		"usr/lib/gatewayd/waiting":                       "root:root 755",
		"usr/sbin/gatewayd-provision":                    "root:root 755",
		"usr/share/man/man8/gatewayd-provision.8.gz":     "root:root 644",
		"usr/share/bash-completion/completions/gatewayd": "root:root 644",
	} {
		if !r.Has(path) {
			t.Errorf("%s is not there", path)
		} else if got := r.Owner(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if out, err := exec.Command(r.Path("usr/bin/gatewayd"), "version").CombinedOutput(); err != nil || !strings.Contains(string(out), "gatewayd v1.0.0 commit 0123456789ab") {
		t.Errorf("gatewayd version: %v %s", err, out)
	}
	if r.Has("etc/systemd/system/multi-user.target.wants/gatewayd.service") {
		t.Error("a gateway that does not know who it is would be started at boot")
	}
	if !r.Has("etc/systemd/system/timers.target.wants/gatewayd-rollback.timer") {
		t.Error("the rollback timer is not enabled")
	}

	// The same again changes nothing.
	passwd := debtest.Read(t, r.Path("etc/passwd"))
	r.Dpkg("-i", first)
	if now := debtest.Read(t, r.Path("etc/passwd")); now != passwd {
		t.Errorf("installed again, passwd is\n%s", now)
	}

	// What the office changed stays, and what the package says now lies
	// beside it.
	office := debtest.Read(t, r.Path("etc/gatewayd/gatewayd.toml")) + "\n# changed at the office\n"
	debtest.Write(t, r.Path("etc/gatewayd/gatewayd.toml"), office, 0o644)
	debtest.Write(t, r.Path("etc/gatewayd/badge.key"), "secret", 0o640)
	debtest.Write(t, r.Path("var/lib/gatewayd/journal.db"), "taps", 0o640)
	if err := os.Remove(r.Path("etc/systemd/system/timers.target.wants/gatewayd-rollback.timer")); err != nil {
		t.Fatal(err)
	}
	r.Dpkg("-i", second)
	if got := debtest.Read(t, r.Path("etc/gatewayd/gatewayd.toml")); got != office {
		t.Error("the upgrade changed the office's configuration")
	}
	if got := debtest.Read(t, r.Path("etc/gatewayd/gatewayd.toml.dpkg-dist")); !strings.Contains(got, "A later version says more.") {
		t.Error("the new reference configuration is not beside the old one")
	}
	if r.Has("etc/systemd/system/timers.target.wants/gatewayd-rollback.timer") {
		t.Error("the upgrade switched on what the administrator had switched off")
	}

	r.Dpkg("--remove", "gatewayd")
	for path, want := range map[string]bool{
		"usr/bin/gatewayd": false, "usr/lib/systemd/system/gatewayd.service": false,
		"etc/gatewayd/gatewayd.toml": true, "etc/gatewayd/badge.key": true, "var/lib/gatewayd/journal.db": true,
	} {
		if r.Has(path) != want {
			t.Errorf("after the removal: %s is there: %v", path, !want)
		}
	}
	r.Dpkg("--purge", "gatewayd")
	for _, path := range []string{"etc/gatewayd", "var/lib/gatewayd", "var/lib/gatewayd-rollback"} {
		if r.Has(path) {
			t.Errorf("after the purge: %s is there", path)
		}
	}
	out, err := exec.Command("dpkg", "--root="+r.Dir, "-l", "gatewayd").CombinedOutput()
	if err == nil && strings.Contains(string(out), "\nii") {
		t.Errorf("dpkg still knows it:\n%s", out)
	}
}

// sealKeyOnUpgrade: a gateway that was provisioned before there were seals has a key for them
// behind the upgrade, one that was never provisioned has none, and the next upgrade keeps it.
func sealKeyOnUpgrade(t *testing.T, first, second string) {
	t.Helper()
	r := debtest.NewRoot(t)
	r.Dpkg("-i", first)
	r.Dpkg("-i", first)
	key := "var/lib/gatewayd/tls/seal.key"
	if r.Has(key) {
		t.Error("a package that nobody has provisioned yet made a key")
	}
	gateway := r.Path("var/lib/gatewayd/tls/gateway.key")
	if out, err := exec.Command("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", gateway).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out, err := exec.Command("chown", r.ID("passwd", "gatewayd")+":"+r.ID("group", "gatewayd"), gateway).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	debtest.Write(t, r.Path("etc/gatewayd/gatewayd.toml"), "[gateway]\nid = \"dinkes-01\"\n", 0o644)
	r.Dpkg("-i", second)
	if got := r.Owner(key); got != "gatewayd:gatewayd 600" {
		t.Errorf("the key is %s", got)
	}
	made := debtest.Read(t, r.Path(key))
	if got := debtest.Read(t, r.Path("var/lib/gatewayd/tls/seal.csr")); strings.Count(got, "BEGIN CERTIFICATE REQUEST") != 2 {
		t.Errorf("the request is %s", got)
	}
	r.Dpkg("-i", second)
	if debtest.Read(t, r.Path(key)) != made {
		t.Error("the next upgrade made another key")
	}
	if r.Dpkg("--purge", "gatewayd"); r.Has(key) {
		t.Error("the key outlives the purge")
	}
}

func manualPages(t *testing.T, first string) {
	t.Helper()
	skiptest.Program(t, "groff")
	r := debtest.NewRoot(t)
	r.Dpkg("-i", first)
	for page, commands := range map[string][]string{
		"gatewayd.8":           {"run", "check", "demo", "status", "watch", "doctor", "export", "verify", "sim tap", "version"},
		"gatewayd-provision.8": {"usb", "request", "badge-key", "config", "accept", "renew-url", "start", "seal-key", "rename", "retire"},
	} {
		text, err := exec.Command("gzip", "-dc", r.Path("usr/share/man/man8", page+".gz")).Output()
		if err != nil {
			t.Fatal(err)
		}
		source := filepath.Join(t.TempDir(), page)
		debtest.Write(t, source, string(text), 0o644)
		out, err := exec.Command("groff", "-mandoc", "-Tascii", "-P-cbou", "-ww", source).CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning:") {
			t.Errorf("%s: groff: %v\n%s", page, err, out)
		}
		for _, command := range commands {
			if !strings.Contains(string(out), "\n     "+command) {
				t.Errorf("%q is not in %s", command, page)
			}
		}
		if strings.Contains(string(out), "\n     manual") {
			t.Error("a hidden command is in the page")
		}
	}
}

func completion(t *testing.T, first string) {
	t.Helper()
	r := debtest.NewRoot(t)
	r.Dpkg("-i", first)
	for line, want := range map[string]string{
		"gatewayd ex":                          "export",
		"gatewayd --config /x.toml sta":        "status",
		"gatewayd export --un":                 "--until",
		"gatewayd sim t":                       "tap",
		"gatewayd sim reader --fault bus-l":    "bus-low",
		"gatewayd --config /x.toml sim tap --": "--card --count --every --help --hold --reader --rogue --uid",
	} {
		words := strings.Split(line, " ")
		script := fmt.Sprintf(`. %q; COMP_WORDS=(%s); COMP_CWORD=%d; _gatewayd; printf '%%s\n' "${COMPREPLY[@]}" | sort | xargs`,
			r.Path("usr/share/bash-completion/completions/gatewayd"), line+map[bool]string{true: "''"}[strings.HasSuffix(line, " ")], len(words)-1)
		out, err := exec.Command("bash", "-c", script).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q: %v, got %q, want %q", line, err, out, want)
		}
	}
}
