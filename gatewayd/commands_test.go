package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/config"
	"presence/drivers/card"
	"presence/scripts/childtest"
	"presence/scripts/skiptest"
)

// TestDaysAreLengthsOfTime: on the command line as in the configuration.
func TestDaysAreLengthsOfTime(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	g.tap("--uid", "04A1B2C3D4E5F6")
	for span, want := range map[string]int{"1d": 1, "35d": 1, "1d12h": 1, "0d": 0, "0d1ms": 0, "90m": 1} {
		if out := g.must("export", "--since", span); strings.Count(out, `"kind":"badge"`) != want {
			t.Errorf("--since %s prints %s", span, out)
		}
		if out := g.must("export", "--until", span); strings.Count(out, `"kind":"badge"`) != 1-want {
			t.Errorf("--until %s prints %s", span, out)
		}
	}
	for _, wrong := range []string{"d", "1.5d", "12h1d", "-1d", "1d-2h", "1dd", "99999d", "1day", "1d 2h"} {
		if out, code := g.try("export", "--since", wrong); code != 2 {
			t.Errorf("--since %s: exit %d, %s", wrong, code, out)
		}
	}
	if out, code := g.try("sim", "tap", "--reader", "door", "--uid", "04A1B2C3D4E5F7", "--hold", "0d1ms"); code != 0 {
		t.Errorf("--hold 0d1ms: exit %d, %s", code, out)
	}
}

// TestConfigPrintsTheReference: it is a configuration that check takes.
func TestConfigPrintsTheReference(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	if err := os.Remove(g.config); err != nil {
		t.Fatal(err)
	}
	out := g.must("config")
	if !bytes.Equal([]byte(out), config.Reference()) {
		t.Errorf("config prints %s", out)
	}
	if _, err := config.Parse("reference", []byte(out)); err != nil {
		t.Error(err)
	}
}

// TestBadgePrintsWhatIsSent: the id of a card is that of the event of its tap.
func TestBadgePrintsWhatIsSent(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	for _, uid := range []string{"04A1B2C3D4E5F6", "5A11C0DE", "04010203040506070809"} {
		g.tap("--uid", uid)
		for _, form := range []string{uid, strings.ToLower(uid), uid[:2] + ":" + uid[2:4] + "-" + uid[4:6] + " " + uid[6:]} {
			if id := strings.TrimSpace(g.must("badge", form)); len(id) != 34 || !strings.Contains(g.must("export"), `"badge":"`+id+`"`) {
				t.Errorf("badge %s prints %q, which is in no event", form, id)
			}
		}
	}
	plain, guid := g.must("badge", "3D2A7C5E90B14F8E8A61F0B2C4D6E8FA"), g.must("badge", "3d2a7c5e-90b1-4f8e-8a61-f0b2c4d6e8fa")
	if plain != guid || len(strings.TrimSpace(guid)) != 34 {
		t.Errorf("the GUID of a PIV card is %q and %q", plain, guid)
	}
	for _, wrong := range []string{"", "04A1B2C3D4", "h:00112233445566778899aabbccddeeff", "Sari"} {
		if out, code := g.try("badge", wrong); code != 2 || !strings.Contains(out, "is no UID") {
			t.Errorf("badge %q: exit %d, %s", wrong, code, out)
		}
	}
	if err := os.Remove(filepath.Join(g.dir, "badge.key")); err != nil {
		t.Fatal(err)
	}
	if out, code := g.try("badge", "5A11C0DE"); code != 1 || !strings.Contains(out, "badge.key") || !strings.Contains(out, "put the file there") {
		t.Errorf("without a key: exit %d, %s", code, out)
	}
}

// TestHelpNamesTheCards: whoever taps need not guess.
func TestHelpNamesTheCards(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	help := inOneLine(g.must("sim", "tap", "--help"))
	for i, tech := range card.Technologies() {
		if !strings.Contains(help, string(tech)) {
			t.Errorf("%s is not in %s", tech, help)
		}
		uid := string("0123456789ABCDEF"[i]) + "A000001"
		if a := g.tap("--uid", uid, "--card", string(tech)); len(a) != 1 || a[0].Outcome != "accepted" {
			t.Errorf("a tap with a %s: %+v", tech, a)
		}
	}
}

// TestWrongNamesAreSaidPlainly, without what the transport thinks of them.
func TestWrongNamesAreSaidPlainly(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	if out, code := g.try("sim", "tap", "--reader", "door", "--uid", "04A1B2C3", "--card", "paper"); code != 2 || !strings.Contains(out, `card "paper": want one of mifare-ultralight, `) {
		t.Errorf("a card of paper: exit %d, %s", code, out)
	}
	if out, code := g.try("sim", "tap", "--reader", "gate", "--uid", "04A1B2C3"); code != 1 || !strings.HasSuffix(out, "in the configuration\n") {
		t.Errorf("a reader that is not there: exit %d, %s", code, out)
	}
}

// TestUnreadableConfigurationIsNamed where the gateway is looked for in vain
// because of it.
func TestUnreadableConfigurationIsNamed(t *testing.T) {
	const usual = "/var/lib/gatewayd"
	if _, err := os.Stat(usual); err == nil {
		skiptest.Skip(t, "a gateway is installed here")
	}
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	sound := g.text()
	for text, named := range map[string]string{
		"garbage\n":                      g.config + ":1:",
		"[gateway]\nstate_dir = 3\n":     "gateway.state_dir",
		"[gatewai]\nstate_dir = \"x\"\n": g.config,
		"[gateway]\nstate_dri = \"x\"\n": g.config,
		"":                               g.config,
	} {
		g.configure(text)
		for _, command := range [][]string{{"status"}, {"watch"}, {"verify"}, {"sim", "tap", "--reader", "door", "--uid", "5A000001"}} {
			if out, code := g.try(command...); code != failed(command) || !strings.Contains(out, named) || !strings.Contains(out, usual) {
				t.Errorf("%s with %q: exit %d, %s", command, text, code, out)
			}
		}
	}
	g.configure(sound)
	if out, code := g.try("status"); code != 1 || strings.Contains(out, "another folder") {
		t.Errorf("with a sound configuration: exit %d, %s", code, out)
	}
}

// TestWhatCannotBePrintedIsAnError of every command that prints.
func TestWhatCannotBePrintedIsAnError(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		skiptest.Skip(t, err.Error())
	}
	defer full.Close()
	for _, args := range [][]string{{"version"}, {"check"}, {"config"}, {"--help"}} {
		cmd := exec.Command(path, append([]string{"--config", g.config}, args...)...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &said
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "no space left") {
			t.Errorf("%s: %v, %s", args, err, said.String())
		}
	}
}

// TestPlainWords: a person reads them.
func TestPlainWords(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	if out := g.must("check"); !strings.Contains(out, "1 reader, 0 receivers)") {
		t.Errorf("check says %s", out)
	}
	for _, span := range [][]string{{"--since", "7d", "--until", "9d"}, {"--since", "2026-11-23", "--until", "2026-11-23"}} {
		if out, code := g.try(append([]string{"export"}, span...)...); code != 2 || !strings.Contains(out, "nothing can lie between") {
			t.Errorf("export %s: exit %d, %s", span, code, out)
		}
	}
	for _, uid := range []string{"zz", "04A", "04A1B2C", "04 A1"} {
		out, code := g.try("sim", "tap", "--reader", "door", "--uid", uid)
		if code != 2 || strings.Contains(out, "encoding/hex") || !strings.Contains(out, "want hex digits") {
			t.Errorf("sim tap --uid %q: exit %d, %s", uid, code, out)
		}
	}
}

// TestImpatientDemoLeavesNothing: whoever asks twice, closes the terminal or stops
// reading has no folder left behind.
func TestImpatientDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(p *os.Process, out io.ReadCloser) error{
		"twice": func(p *os.Process, out io.ReadCloser) error {
			if err := p.Signal(syscall.SIGINT); err != nil {
				return err
			}
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if strings.Contains(lines.Text(), "interrupted") {
					return p.Signal(syscall.SIGINT) // while it stops
				}
			}
			return errors.New("it does not say that it was interrupted")
		},
		"hang up":      func(p *os.Process, _ io.ReadCloser) error { return p.Signal(syscall.SIGHUP) },
		"nobody reads": func(_ *os.Process, out io.ReadCloser) error { return out.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(path, "demo", "--for", "20s")
			cmd.Env = append(os.Environ(), "TMPDIR="+dir)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := childtest.Start(cmd); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, 200)); err != nil {
				t.Fatal(err)
			}
			if err := end(cmd.Process, out); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out) // to its end
			_ = cmd.Wait()
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
		})
	}
}

// TestShortDemo takes no longer than it was told, and loses nothing.
func TestShortDemo(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	for length, chip := range map[string]string{"10ms": "mfrc522", "1s": "mfrc522", "2s": "pn532"} {
		began := time.Now()
		out, code := g.try("demo", "--for", length, "--chip", chip)
		if code != 0 || !strings.Contains(out, " lost=0 duplicates=0") || strings.Contains(out, "taps=0 ") {
			t.Errorf("exit %d\n%s", code, out)
		}
		if driver := "the real " + strings.ToUpper(chip) + " driver"; !strings.Contains(out, driver) {
			t.Errorf("it does not speak of %s:\n%s", driver, out)
		}
		if took := time.Since(began); took > 30*time.Second { // it would go on for ever without --for
			t.Errorf("--for %s took %s", length, took)
		}
	}
}
