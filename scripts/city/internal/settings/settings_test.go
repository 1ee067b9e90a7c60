package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/scripts/city/internal/settings"
)

const least = `[database]
connection = "host=/var/run/postgresql dbname=presence"
[[broker]]
url = "tls://mqtt.example.go.id:8883"
`

// The reference is a configuration, it shows the defaults, and it has all keys.
func TestReference(t *testing.T) {
	usual, err := settings.Parse("least", []byte(least))
	if err != nil {
		t.Fatal(err)
	}
	// Each commented key, with what stands there as its default.
	text := regexp.MustCompile(`(?m)^# ([a-z_]+ = )`).ReplaceAllString(string(settings.Reference()), "$1")
	text = regexp.MustCompile(`(?m)^(ca_file|cert_file|key_file|username|password_file) = .*\n`).ReplaceAllString(text, "")
	all, err := settings.Parse("reference", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all.Database.Connection = usual.Database.Connection
	if diff := cmp.Diff(usual, all); diff != "" {
		t.Errorf("the reference shows other defaults (-in force +shown):\n%s", diff)
	}
	if _, err := settings.Parse("reference", settings.Reference()); err != nil {
		t.Error(err)
	}
	want := &settings.Settings{
		Database: settings.Database{Connection: "host=/var/run/postgresql dbname=presence"},
		Brokers:  []settings.Broker{{URL: "tls://mqtt.example.go.id:8883", ClientID: "recorder"}},
		Receipts: settings.Receipts{Send: true},
		Events:   settings.Events{Batch: 5000, BatchWait: 20 * time.Millisecond, QueueBytes: 64 << 20},
		Resync:   settings.Resync{After: 2 * time.Minute, AtMost: 30},
		Watch:    settings.Watch{Listen: "127.0.0.1:9117"},
	}
	if diff := cmp.Diff(want, usual); diff != "" {
		t.Error(diff)
	}
}

// Each mistake is said with file, line and key.
func TestWhatIsWrongIsSaidWhere(t *testing.T) {
	for text, want := range map[string]string{
		least + "[events]\nbatsh = 5\n":                                 "recorder.toml:6: events.batsh: is no key",
		least + "[evens]\n":                                             "recorder.toml:5: evens: is no key",
		least + "[events]\nbatch = \"many\"\n":                          "recorder.toml:6: events.batch: ",
		least + "[events]\nbatch = 0\n":                                 "recorder.toml:6: events.batch: is 0: want 1 to 20000",
		least + "[events]\n\nbatch_wait = \"1h\"\n":                     `recorder.toml:7: events.batch_wait: is "1h": want a duration`,
		least + "[resync]\nafter = \"1s\"\n":                            "recorder.toml:6: resync.after: is 1s",
		least + "[watch]\nlisten = \"0.0.0.0:80\"":                      "recorder.toml:6: watch.listen: ",
		least + "url = 5\n":                                             "recorder.toml:5: ",
		least + "cert_file = \"x\"\n":                                   "recorder.toml:5: broker.cert_file: and key_file go together",
		least + "password_file = \"x\"\n":                               "recorder.toml:5: broker.password_file: has no username",
		least + "client_id = \"a b\"\n":                                 "recorder.toml:5: broker.client_id: ",
		least + "[[broker]]\nurl = \"tls://mqtt.example.go.id:8883\"\n": "recorder.toml:6: broker.url: is there twice",
		least + "[[broker]]\n":                                          "recorder.toml:5: broker.url: is missing",
		"[database]\n[[broker]]\nurl = \"tls://a:1\"\n":                 "recorder.toml:1: database.connection: is missing",
		"[database]\nconnection = \"host=x\"\n":                         "broker: is there 0 times",

		"[database]\nconnection = \"host=x\"\n[[broker]]\nurl = \"tcp://mqtt.go.id:1\"\n": "recorder.toml:4: broker.url: goes over the network without encryption",
		"[database]\nconnection = \"host=x\"\n[[broker]]\nurl = \"https://x\"\n":          "recorder.toml:4: broker.url: has the scheme",
		"[database]\nconnection = \"host=x\"\n[[broker]]\nurl = \"tls://u:p@x:1\"\n":      "recorder.toml:4: broker.url: is no address",
		"[database]\nconnection = \"host=x\"\n[[broker]]\nurl = \"tls://x\"\n":            "recorder.toml:4: broker.url: ",

		"[database\n": "recorder.toml:1: ",
	} {
		_, err := settings.Parse("recorder.toml", []byte(text))
		var problems settings.Problems
		if !errors.As(err, &problems) || !strings.HasPrefix(problems[0].String(), strings.SplitN(want, "broker: is there 0", 2)[0]) || !strings.Contains(err.Error(), want) {
			t.Errorf("of\n%sit says %v, want %s", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "u:p")) {
			t.Errorf("not one line, or a password in it: %v", err)
		}
	}
	// Several at once.
	_, err := settings.Parse("recorder.toml", []byte(least+"[events]\nbatch = 0\nqueue_mb = 0\n"))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 2 {
		t.Errorf("two mistakes are said in %d lines: %v", len(lines), err)
	}
}

func TestBrokersOfThisMachineNeedNoEncryption(t *testing.T) {
	for _, url := range []string{"tcp://127.0.0.1:1883", "tcp://localhost:1883", "tcp://[::1]:1883", "ws://127.0.0.1:80/mqtt", "wss://mqtt.example.go.id/mqtt"} {
		text := "[database]\nconnection = \"host=x\"\n[[broker]]\nurl = \"" + url + "\"\n"
		if _, err := settings.Parse("x", []byte(text)); err != nil {
			t.Error(err)
		}
	}
}

func TestFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "two-lines")
	if err := os.WriteFile(bad, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &settings.Settings{
		Database: settings.Database{PasswordFile: bad},
		Brokers:  []settings.Broker{{CAFile: filepath.Join(dir, "none.pem")}},
		Receipts: settings.Receipts{Send: true, KeyFile: bad},
	}
	err := s.Files()
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("three files are wrong: %v", err)
	}
	good := filepath.Join(dir, "secret")
	if err := os.WriteFile(good, []byte("hemlig\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if secret, err := settings.Secret(good); secret != "hemlig" || err != nil {
		t.Errorf("the password is %q, %v", secret, err)
	}
}
