package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"presence/config"
	"presence/scripts/skiptest"
)

// TestAQuietDayCostsLittle has a gateway live some hours in which nobody comes and no
// tag is heard, over TLS, and counts what a day of them costs at its socket. For a line
// that is paid for by the byte a gateway with nothing to tell sends at most 100 KB a day,
// with the settings that the reference configuration names for it.
func TestAQuietDayCostsLittle(t *testing.T) {
	t.Parallel()
	skiptest.Computation(t)
	const most = 100_000
	slow := config.Health{Interval: 5 * time.Minute}
	quiet := config.Health{Interval: 5 * time.Minute, QuietInterval: time.Hour}
	for _, tc := range []struct {
		name      string
		health    config.Health
		keepAlive time.Duration
		bounded   bool
	}{
		{"interval 5m", slow, 15 * time.Second, false},
		{"interval 5m, quiet_interval 1h, keepalive 60s", quiet, time.Minute, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1, someWeeks)
				w.cfg.Health, w.cfg.MQTT.KeepAlive = tc.health, tc.keepAlive
				w.cfg.MQTT.Broker.TLS = true
				w.line.secure, w.cfg.MQTT.CAFile = brokerCertificate(t, dir)
				quietBoard(t, filepath.Join(dir, "root"))
				w.powerOn()
				w.machine.ntp(0)
				w.start()
				pass := func(long time.Duration) {
					for end := w.now().Add(long); w.now().Before(end); w.machine.ntp(0) {
						time.Sleep(17 * time.Minute)
					}
				}
				pass(2 * time.Hour)
				before, documents := w.life.daemon.line.Stats(), w.line.documents()
				began := w.now()
				pass(6 * time.Hour)
				day := float64(24*time.Hour) / float64(w.now().Sub(began))
				after := w.life.daemon.line.Stats()
				documents = w.line.documents() - documents
				if !after.Connected || after.Reconnects != before.Reconnects {
					t.Errorf("connected %v, %d times before and %d after", after.Connected, before.Reconnects, after.Reconnects)
				}
				if h := w.life.daemon.monitor.Snapshot(); h.Level != "ok" {
					t.Errorf("it is not well: %q", h.Alerts)
				}
				sent := day * float64(after.BytesSent-before.BytesSent)
				received := day * float64(after.BytesReceived-before.BytesReceived)
				t.Logf("a quiet day: %.1f KB sent, %.1f KB received, %.0f health documents", sent/1000, received/1000, day*float64(documents))
				if tc.bounded && sent > most {
					t.Errorf("%.0f bytes sent a day, at most %d", sent, most)
				}
				if want := int(w.now().Sub(began) / tc.health.Longest()); documents < want || documents > want+1 {
					t.Errorf("%d health documents, want %d", documents, want)
				}
				w.life.stop()
				if err := <-w.life.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// documents is how many health documents have come.
func (l *line) documents() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checked["health"]
}

// brokerCertificate makes the certificate of the year's broker, which is its own
// authority, and valid all through this century.
func brokerCertificate(t *testing.T, dir string) (broker *tls.Config, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, caFile
}

// quietBoard makes the files of a board that is well.
func quietBoard(t *testing.T, root string) {
	t.Helper()
	for path, content := range map[string]string{
		"sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
		"sys/class/hwmon/hwmon0/name":                         "rpi_volt\n",
		"sys/class/hwmon/hwmon0/in0_lcrit_alarm":              "0\n",
		"sys/class/thermal/thermal_zone0/temp":                "48277\n",
		"sys/class/rtc/rtc0/name":                             "rtc\n",
	} {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
