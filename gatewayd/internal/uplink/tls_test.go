package uplink_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// secure starts a broker that wants certificates of a CA on its listener.
func secure(t *testing.T, ca *brokertest.CA, server string, until time.Time) *brokertest.Broker {
	t.Helper()
	cert, key := ca.Issue(server, until)
	return brokertest.Start(t, "cafile "+ca.File, "certfile "+cert, "keyfile "+key,
		"require_certificate true", "use_identity_as_username true", "allow_anonymous false")
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := brokertest.NewCA(t), brokertest.NewCA(t)
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	good := secure(t, ca, "broker", tomorrow)
	stale := secure(t, ca, "stale-broker", yesterday)
	for name, tc := range map[string]struct {
		broker *brokertest.Broker
		ca     *brokertest.CA
		client func() (cert, key string)
		says   string // "" is connected
	}{
		"all well":             {good, ca, func() (string, string) { return ca.Issue("dinkes-01", tomorrow) }, ""},
		"no certificate":       {good, ca, func() (string, string) { return "", "" }, "certificate"},
		"expired certificate":  {good, ca, func() (string, string) { return ca.Issue("dinkes-02", yesterday) }, "certificate"},
		"another city's":       {good, ca, func() (string, string) { return other.Issue("dinkes-01", tomorrow) }, "certificate"},
		"broker of another CA": {good, other, func() (string, string) { return other.Issue("dinkes-03", tomorrow) }, "unknown authority"},
		"broker expired":       {stale, ca, func() (string, string) { return ca.Issue("dinkes-04", tomorrow) }, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(tc.broker.Address(), newMemory(3))
			o.TLS, o.CAFile = true, tc.ca.File
			o.CertFile, o.KeyFile = tc.client()
			u := uplink.New(o)
			run(t, u)
			if tc.says == "" {
				await(t, "the events", func() bool { return o.Journal.Cursor() == 3 })
				return
			}
			// With TLS 1.3 a broker's refusal of a certificate shows only after
			// the handshake, as a closed connection in whatever words.
			await(t, "a refusal", func() bool { return u.Stats().LastError != "" })
			if text := u.Stats().LastError; tc.says != "certificate" && !strings.Contains(text, tc.says) {
				t.Errorf("it says %q", text)
			}
			if o.Journal.Cursor() != 0 {
				t.Error("events were delivered all the same")
			}
		})
	}
}

func TestRenewedCertificateIsTakenUpWithoutARestart(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	b := secure(t, ca, "broker", time.Now().Add(time.Hour))
	j := newMemory(3)
	o := options(b.Address(), j)
	o.TLS, o.CAFile = true, ca.File
	o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(-time.Hour))
	u := uplink.New(o)
	run(t, u)
	await(t, "a refusal", func() bool { return u.Stats().LastError != "" })
	ca.Issue("dinkes-01", time.Now().Add(time.Hour)) // into the same files
	await(t, "the events", func() bool { return j.Cursor() == 3 })
}

func TestPlainServerIsNotTakenForASecureOne(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	o := options(b.Address(), newMemory(1))
	o.TLS, o.CAFile = true, brokertest.NewCA(t).File
	o.Limits.Connect = time.Second
	u := uplink.New(o)
	run(t, u)
	await(t, "a refusal", func() bool { return u.Stats().LastError != "" })
	if o.Journal.Cursor() != 0 {
		t.Error("events went out in the clear")
	}
}

func TestUserNameAndPassword(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users")
	passwd, err := exec.LookPath("mosquitto_passwd")
	if err != nil {
		t.Fatal(err) // it comes with mosquitto
	}
	if out, err := exec.Command(passwd, "-c", "-b", users, "gateways", "secret").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b := brokertest.Start(t, "allow_anonymous false", "password_file "+users)
	for password, says := range map[string]string{"secret\n": "", "guess": "not authorised"} {
		t.Run(fmt.Sprintf("%q", password), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
				t.Fatal(err)
			}
			o := options(b.Address(), newMemory(1))
			o.Username, o.PasswordFile = "gateways", file
			u := uplink.New(o)
			run(t, u)
			if says == "" {
				await(t, "the event", func() bool { return o.Journal.Cursor() == 1 })
				return
			}
			await(t, "a refusal", func() bool { return strings.Contains(u.Stats().LastError, says) })
		})
	}
}
