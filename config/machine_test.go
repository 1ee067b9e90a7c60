package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// TestCheckHoldsTheConfigurationAgainstTheMachine: what is there and cannot be
// what the key means is named. What is missing may come.
func TestCheckHoldsTheConfigurationAgainstTheMachine(t *testing.T) { //nolint:funlen // a table of cases
	radio, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer radio.Close()
	defer tty.Close()
	for name, tc := range map[string]struct {
		change func(dir string) // makes files beside the configuration
		old    string           // a line of the base
		line   string           // instead of it; DIR is the folder
		want   []string
	}{
		"all missing":               {nil, `bus = "sim"`, `bus = "/dev/spidev7.7"`, nil},
		"a new folder":              {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR/a/b/c\"", nil},
		"a folder that is there":    {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR\"", nil},
		"a file for a folder":       {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR/file\"", []string{"3 gateway.state_dir: no folder"}},
		"a folder below a file":     {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR/file/state\"", []string{"3 gateway.state_dir: cannot be made"}},
		"deep below a file":         {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR/file/a/b\"", []string{"3 gateway.state_dir: cannot be made"}},
		"a link to nothing":         {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR/link\"", []string{"3 gateway.state_dir: link to nothing"}},
		"below a link to nothing":   {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR/link/state\"", []string{"3 gateway.state_dir: link to nothing"}},
		"a folder in proc":          {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"/proc/gatewayd\"", []string{"3 gateway.state_dir: cannot be made"}},
		"a pipe for a folder":       {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR/pipe\"", []string{"3 gateway.state_dir: no folder"}},
		"too long for a socket":     {nil, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"/" + strings.Repeat("x", 94) + "\"", []string{"3 gateway.state_dir: too long"}},
		"a folder for the journal":  {func(dir string) { _ = os.Mkdir(filepath.Join(dir, "journal.db"), 0o700) }, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR\"", []string{"3 gateway.state_dir: something else for its journal.db"}},
		"a file for the socket":     {func(dir string) { _ = os.WriteFile(filepath.Join(dir, "control.sock"), nil, 0o600) }, `id = "dinkes-01"`, "id = \"dinkes-01\"\nstate_dir = \"DIR\"", []string{"3 gateway.state_dir: something else for its control.sock"}},
		"a space behind a device":   {nil, `bus = "sim"`, `bus = "/dev/spidev0.0 "`, []string{"6 reader.bus: no device"}},
		"swapped":                   {nil, `[badges]`, "[office]\nlat = 112.63\nlon = -7.97\nradius_m = 100\n[badges]", []string{"12 office.lat: look swapped", "12 office.lat: out of range"}},
		"UTM":                       {nil, `[badges]`, "[office]\nlat = 9117673\nlon = 679972\nradius_m = 100\n[badges]", []string{"12 office.lat: look like metres", "12 office.lat: out of range", "13 office.lon: out of range"}},
		"the root for a bus":        {nil, `bus = "sim"`, `bus = "/"`, []string{"6 reader.bus: a folder"}},
		"a folder for a bus":        {nil, `bus = "sim"`, `bus = "/dev"`, []string{"6 reader.bus: a folder"}},
		"a file for a bus":          {nil, `bus = "sim"`, `bus = "DIR/file"`, []string{"6 reader.bus: an ordinary file"}},
		"a pipe for a bus":          {nil, `bus = "sim"`, `bus = "DIR/pipe"`, []string{"6 reader.bus: no device of that kind"}},
		"another device for a bus":  {nil, `bus = "sim"`, `bus = "/dev/null"`, []string{"6 reader.bus: no device of that kind"}},
		"a folder for a port":       {nil, `port = "/dev/ttyUSB0"`, `port = "/dev/"`, []string{"10 receiver.port: a folder"}},
		"a file for a port":         {nil, `port = "/dev/ttyUSB0"`, `port = "DIR/file"`, []string{"10 receiver.port: an ordinary file"}},
		"another device for a port": {nil, `port = "/dev/ttyUSB0"`, `port = "/dev/zero"`, []string{"10 receiver.port: no device of that kind"}},
		"a pseudo terminal":         {nil, `port = "/dev/ttyUSB0"`, `port = "` + tty.Name() + `"`, nil},
		"one port by two names": {
			func(dir string) { _ = os.Symlink(tty.Name(), filepath.Join(dir, "usb")) }, `port = "/dev/ttyUSB0"`,
			"port = \"" + tty.Name() + "\"\n[[receiver]]\nname = \"gate\"\nprotocol = \"reyax\"\nport = \"DIR/usb\"",
			[]string{"14 receiver.port: the same device"},
		},
		"a pin beyond the header":    {nil, `[badges]`, "[feedback]\ngreen = \"GPIO99\"\nred = \"GPIO28\"\nbuzzer = \"GPIO27\"\n[badges]", []string{"12 feedback.green: on no header", "13 feedback.red: on no header"}},
		"a pin that is no pin":       {nil, `[badges]`, "[feedback]\ngreen = \"17\"\n[badges]", []string{"12 feedback.green: no pin"}},
		"a pin twice":                {nil, `[badges]`, "[feedback]\ngreen = \"GPIO17\"\nred = \"GPIO17\"\n[badges]", []string{"13 feedback.red: used already"}},
		"irq pin on the bus":         {nil, `bus = "sim"`, "bus = \"/dev/spidev0.0\"\nirq_pin = \"GPIO9\"", []string{"7 reader.irq_pin: a wire"}},
		"wires of the bus":           {nil, `bus = "sim"`, "bus = \"/dev/spidev0.0\"\nreset_pin = \"GPIO8\"\n[feedback]\ngreen = \"GPIO9\"\nred = \"GPIO10\"\nbuzzer = \"GPIO11\"", []string{"7 reader.reset_pin: a wire", "9 feedback.green: a wire", "10 feedback.red: a wire", "11 feedback.buzzer: a wire"}},
		"wires of the second bus":    {nil, `bus = "sim"`, "bus = \"/dev/spidev1.1\"\n[feedback]\ngreen = \"GPIO17\"\nred = \"GPIO27\"\nbuzzer = \"GPIO9\"", []string{"8 feedback.green: a wire"}},
		"a folder for a certificate": {nil, `broker = "tcp://localhost"`, "broker = \"tcp://localhost\"\nca_file = \"/etc\"", []string{"15 mqtt.ca_file: no ordinary file"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "file"), "x")
			if err := os.Symlink("nothing", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
				t.Fatal(err)
			}
			if tc.change != nil {
				tc.change(dir)
			}
			if strings.Count(base, tc.old) != 1 {
				t.Fatalf("%q is not once in the base", tc.old)
			}
			path := filepath.Join(dir, "gatewayd.toml")
			write(t, path, strings.Replace(base, tc.old, strings.ReplaceAll(tc.line, "DIR", dir), 1))
			before := listing(t, dir)
			_, err := Check(path)
			if after := listing(t, dir); after != before {
				t.Errorf("a check changed the folder from %s to %s", before, after)
			}
			if len(tc.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var got Problems
			if !errors.As(err, &got) {
				t.Fatalf("error %v, want Problems", err)
			}
			matchProblems(t, got, tc.want)
		})
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := ""
	for _, e := range entries {
		list += e.Name() + " "
	}
	return list
}

// TestCheckReadsTheFilesOfTheLine: certificates, keys and passwords that cannot
// be what they should, as Windows and openssl make them.
func TestCheckReadsTheFilesOfTheLine(t *testing.T) {
	const mark = "\xef\xbb\xbf"
	cert, key := certificate(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
	for name, tc := range map[string]struct {
		file, content string
		want          string
	}{
		"password with Windows' mark":    {"password", mark + "rahasia\r\n", "17 mqtt.password_file: byte order mark"},
		"password in UTF-16":             {"password", "\xff\xfer\x00a\x00", "17 mqtt.password_file: UTF-16"},
		"badge key with Windows' mark":   {"badge.key", mark + strings.Repeat("0aF1", 16), "8 badges.key_file: byte order mark"},
		"badge key in UTF-16":            {"badge.key", "\xff\xfe0\x00", "8 badges.key_file: UTF-16"},
		"CA with Windows' mark":          {"ca.pem", mark + cert, "13 mqtt.ca_file: byte order mark"},
		"a key for the CA":               {"ca.pem", key, "13 mqtt.ca_file: holds no certificate but a PRIVATE KEY"},
		"certificate with Windows' mark": {"cert.pem", mark + cert, "14 mqtt.cert_file: byte order mark"},
		"a key for the certificate":      {"cert.pem", key, "14 mqtt.cert_file: holds no certificate but a PRIVATE KEY"},
		"words for the certificate":      {"cert.pem", "hello", "14 mqtt.cert_file: holds no certificate"},
		"a certificate for the key":      {"key.pem", cert, "15 mqtt.key_file: holds no private key but a CERTIFICATE"},
		"words for the key":              {"key.pem", "hello", "15 mqtt.key_file: holds no private key"},
		"an empty key":                   {"key.pem", "", "15 mqtt.key_file: holds no private key"},
		"key with Windows' mark":         {"key.pem", mark + key, "15 mqtt.key_file: byte order mark"},
		"key under a passphrase":         {"key.pem", encrypted, "15 mqtt.key_file: holds no private key but a ENCRYPTED PRIVATE KEY"},
		"another's key":                  {"key.pem", sec1, "14 mqtt.cert_file: does not go with key_file"},
		"another's certificate":          {"gatewayd.toml", "", "14 mqtt.cert_file: is the certificate of \"dinkes-01\" (CN), and gateway.id is \"dinkes-02\""},
		"fence with Windows' mark":       {"office.geojson", mark + `{"type":"Polygon"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			path := filepath.Join(dir, "gatewayd.toml")
			if tc.file == "cert.pem" || tc.file == "key.pem" {
				write(t, filepath.Join(dir, "cert.pem"), cert)
				write(t, filepath.Join(dir, "key.pem"), key)
			}
			if tc.content != "" || tc.file == "key.pem" {
				write(t, filepath.Join(dir, tc.file), tc.content)
			} else {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				write(t, path, strings.Replace(string(text), `id = "dinkes-01"`, `id = "dinkes-02"`, 1))
			}
			_, err := Check(path)
			var got Problems
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "":
			case !errors.As(err, &got):
				t.Errorf("error %v, want Problems", err)
			default:
				matchProblems(t, got, []string{tc.want})
			}
			if tc.file == "password" && strings.Contains(err.Error(), "rahasia") {
				t.Errorf("the problem repeats the password: %v", err)
			}
		})
	}
}
