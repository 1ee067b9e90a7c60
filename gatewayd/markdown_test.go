package main_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"presence/config"
	"presence/drivers/beacon"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// guides are the documents whose commands are tested. In a block of code that begins
// with ```sh the commands are run, in one shell from the first to the last, against a
// gateway and a broker of the test; in one with ```sh root, or the name of a machine
// (city, broker, pi), whose commands need root or an office, they are only parsed: by
// bash, and those of gatewayd by gatewayd. Those of BROKER.md are run by kittest.
func guides() []string {
	return []string{
		"README.md", "scripts/INSTALL.md", "scripts/city/MESSAGES.md", "scripts/city/BROKER.md",
		"scripts/city/PRIVACY.md", "scripts/city/BADGES.md", "scripts/city/AUDIT.md", "gatewayd/HOUSE.md",
	}
}

// blocks are the blocks of code in a document, by what stands behind their first fence.
func blocks(text string) (kinds, bodies []string) {
	for _, m := range regexp.MustCompile("(?m)^```([a-z ]*)\n((?:.*\n)*?)```$").FindAllStringSubmatch(text, -1) {
		kinds, bodies = append(kinds, m[1]), append(bodies, m[2])
	}
	return kinds, bodies
}

// stand is where the commands of a document are run: a folder for its files and one for
// its programs, which call the real ones with what they need here.
type stand struct {
	t    *testing.T
	tree string // the source tree
	dir  string // the working folder
	bin  string
}

func newStand(t *testing.T) *stand {
	t.Helper()
	tree, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return &stand{t: t, tree: tree, dir: t.TempDir(), bin: t.TempDir()}
}

// program puts a program there, as the body of a shell script.
func (s *stand) program(name, body string) {
	s.t.Helper()
	debtest.Write(s.t, filepath.Join(s.bin, name), "#!/bin/bash\nset -eu -o pipefail\n"+body+"\n", 0o755)
}

// bash runs a script with these programs in front of the machine's.
func (s *stand) bash(script string, env ...string) (string, error) {
	cmd := exec.Command("bash", "-eu", "-o", "pipefail", "-c", script)
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "PATH="+s.bin+":"+os.Getenv("PATH")), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// common are the programs of both ways: sudo is nobody's business here, make tells what
// it would do, go parses the flags of our programs and runs the rest.
func (s *stand) common() {
	s.program("sudo", `exec "$@"`)
	s.program("make", fmt.Sprintf(`exec /usr/bin/make -n -C %q "$@" >/dev/null`, s.tree))
	s.program("go", fmt.Sprintf(`unset GOFLAGS
case "$1 ${2-}" in
"run ./"*) name=$2; shift 2; cd %q
	[[ ${@: -1} != *.csv ]] || set -- "${@:1:$#-1}" # flags end where files begin
	PATH=${PATH#*:} exec go run "$name" "$@" -h ;;
"test "*) shift; for a; do [[ $a != ./* ]] || [ -d %[1]q/"${a%%%%/...}" ] || { echo "there is no $a"; exit 1; }; done ;;
"doc "*|"tool pprof") ;;
*) echo "go $*: unknown to the test"; exit 1 ;;
esac`, s.tree))
}

// parsed lets bash and the commands' own parsers read a script.
func (s *stand) parsed(script string) {
	s.t.Helper()
	s.common()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	// The help of a command with wrong flags in front of it is an error.
	s.program("gatewayd", fmt.Sprintf(`exec %q "$@" --help >/dev/null`, path))
	for name, source := range map[string]string{
		"gatewayd-provision": "scripts/provision.sh", "ca.sh": "scripts/city/ca.sh", "sign.sh": "scripts/city/sign.sh",
	} {
		// Its usage must name the command, or it takes a file.
		s.program(name, fmt.Sprintf(`[[ $# = 0 || $1 == *.* ]] || grep -qE "^(# *|  )(gatewayd-provision|ca\.sh|sign\.sh)? ?$1\b" %q || { echo "%s knows no $1"; exit 1; }`, filepath.Join(s.tree, source), name))
	}
	s.program("install.sh", `[[ ${1-} != --root ]] || shift 2; [[ $# = 0 || $1 == *.deb || $1 == uninstall || ( $# = 2 && "$1 $2" =~ ^[a-z0-9-]+\ [a-z0-9-]+$ ) ]]`) // a package, or a gateway's names
	s.program("gatewayd-city", fmt.Sprintf(`grep -q "^$1|" %q || { echo "gatewayd-city knows no $1"; exit 1; }`, filepath.Join(s.tree, "scripts/city/gatewayd-city")))
	// What lies beside the document.
	debtest.Write(s.t, filepath.Join(s.dir, "mosquitto.conf"), debtest.Read(s.t, filepath.Join(s.tree, "scripts/city/mosquitto.conf")), 0o644)
	for _, name := range []string{"apt-get", "install", "systemctl", "tar", "rm", "sed", "curl", "scp", "rsync", "openssl", "git", "mosquitto_pub", "mosquitto_sub", "offices.sh", "psql", "mount", "umount", "lsblk"} {
		s.program(name, "exit 0")
	}
	script = strings.ReplaceAll(script, "sudo bash /media/pi/CITY/install.sh", "sudo install.sh")
	if out, err := s.bash(script); err != nil {
		s.t.Errorf("%v\n%s\nof\n%s", err, out, script)
	}
}

func TestDocumentsNameCommandsThatThereAre(t *testing.T) {
	t.Parallel()
	for _, name := range guides() {
		t.Run(name, func(t *testing.T) {
			kinds, bodies := blocks(debtest.Read(t, filepath.Join("..", name)))
			for i, kind := range kinds {
				switch kind {
				case "toml":
					if _, err := config.Parse(name, []byte(bodies[i])); err != nil {
						t.Error(err)
					}
				case "sh root", "sh city", "sh broker", "sh pi": // the latter are run in kittest
					newStand(t).parsed(bodies[i])
				}
			}
		})
	}
}

// city lays out what the city has: keys, a roster and hours.
func (s *stand) city(b *brokertest.Broker) {
	s.t.Helper()
	for name, text := range map[string]string{
		"badge.key": strings.Repeat("0123456789abcdef", 4) + "\n", "roster.csv": "badge,tag\n04A1B2C3D4E5F6,reyax:50\n", "hours.json": `{"mon":"07:30-16:00"}`,
	} {
		debtest.Write(s.t, filepath.Join(s.dir, name), text, 0o600)
	}
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	s.program("sign.sh", fmt.Sprintf(`GATEWAYD=%q exec %q "$@"`, path, filepath.Join(s.tree, "scripts/city/sign.sh")))
	// The document's broker is the city's; the test's is on this machine, without TLS.
	// Who only listens is sent home after a second.
	const here = `args=(); while [ $# -gt 0 ]; do case "$1" in -h|-p|--cafile|--cert|--key|-W) shift 2 ;; *) args+=("$1"); shift ;; esac; done`
	s.program("mosquitto_pub", fmt.Sprintf("%s\nPATH=${PATH#*:} exec mosquitto_pub -h 127.0.0.1 -p %d \"${args[@]}\"", here, b.Port))
	s.program("mosquitto_sub", fmt.Sprintf("%s\nPATH=${PATH#*:} mosquitto_sub -h 127.0.0.1 -p %d -W 1 \"${args[@]}\" || [ $? = 27 ]", here, b.Port))
	// Its gateway sends no batches, and of nothing at all zstd says that something is missing.
	s.program("zstd", `first=$(head -c 1 | od -An -tx1); [ -z "$first" ] || { echo "there are batches"; exit 1; }`)
	s.program("unbatch", fmt.Sprintf(`cd %q; exec /usr/bin/env PATH="${PATH#*:}" go run ./scripts/city/unbatch "$@"`, s.tree))
}

// TestDocuments runs what can be run without an office.
func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, name := range guides() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kinds, bodies := blocks(debtest.Read(t, filepath.Join("..", name)))
			var script strings.Builder
			for i, kind := range kinds {
				if kind == "sh" {
					script.WriteString(bodies[i])
				}
			}
			if script.Len() == 0 {
				return
			}
			b := brokertest.Start(t)
			g := newGateway(t, b.URL(), "")
			g.start()
			g.tap("--uid", "04A1B2C3D4E5F6")
			s := newStand(t)
			s.common()
			s.city(b)
			path, err := binary()
			if err != nil {
				t.Fatal(err)
			}
			// watch goes on until somebody has seen enough.
			s.program("gatewayd", fmt.Sprintf(`if [ "$1" = watch ]; then timeout 1 %[1]q --config %[2]q "$@" || [ $? = 124 ]; else exec %[1]q --config %[2]q "$@"; fi`, path, g.config))
			// grep finds nothing where nothing is wrong.
			s.program("grep", `PATH=${PATH#*:} grep "$@" || [ $? = 1 ]`)
			if out, err := s.bash(script.String()); err != nil {
				t.Errorf("%v\n%s\nof\n%s", err, out, script.String())
			}
		})
	}
}

// TestDocumentsPointAtWhatThereIs: each link to a file leads there.
func TestDocumentsPointAtWhatThereIs(t *testing.T) {
	for _, name := range guides() {
		text := debtest.Read(t, filepath.Join("..", name))
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := fs.Stat(os.DirFS(".."), filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s leads to %s: %v", name, m[1], err)
			}
		}
		for _, m := range regexp.MustCompile("`((?:gatewayd|drivers|config|scripts|systemd)/[a-zA-Z0-9_/.-]+)`").FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "NAME") {
				continue
			}
			if _, err := fs.Stat(os.DirFS(".."), strings.TrimSuffix(m[1], "/")); err != nil {
				t.Errorf("%s names %s: %v", name, m[1], err)
			}
		}
	}
	// The walk of one tap names functions and types that there are.
	_, walk, _ := strings.Cut(debtest.Read(t, "HOUSE.md"), "\n## One tap")
	walk, _, _ = strings.Cut(walk, "\n## ")
	source := sources(t)
	for _, m := range regexp.MustCompile("`(?:[a-z0-9]+\\.)?([a-zA-Z0-9]+)\\.([a-zA-Z]+)`").FindAllStringSubmatch(walk, -1) {
		of, name := m[1], m[2]
		if of == "mqtt" || m[0] == "`journal.keep`" { // of the configuration
			continue
		}
		method := regexp.MustCompile(`(?m)^func \([a-z]+ \*?` + of + `\) ` + name + `\(`).MatchString(source)
		exported := regexp.MustCompile(`(?m)^package `+of+`$`).MatchString(source) && regexp.MustCompile(`(?m)^(func|type) `+name+`\b`).MatchString(source)
		if !method && !exported {
			t.Errorf("the walk of one tap names %s, which there is not", m[0])
		}
	}
	_, radios, _ := strings.Cut(debtest.Read(t, "../scripts/INSTALL.md"), "\n## Radios")
	radios, _, _ = strings.Cut(radios, "\n## ")
	for _, protocol := range beacon.Protocols() {
		if !strings.Contains(radios, "`"+protocol+"`") {
			t.Errorf("the radios in scripts/INSTALL.md lack the protocol %s", protocol)
		}
	}
	if n := strings.Count(debtest.Read(t, "../README.md"), "\n"); n > 200 {
		t.Errorf("README.md has %d lines: what only one reader needs lies beside what it describes", n)
	}
}

// sources is all that is written in Go, but for the tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			all.WriteString(debtest.Read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
