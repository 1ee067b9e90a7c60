package kittest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
	"presence/scripts/skiptest"
)

// The passphrases of a test's city: of its authority, and of the badge key on the
// stick.
const (
	Passphrase      = "of the city"
	BadgePassphrase = "of the technician"
)

// BadgeKey is the badge key of a test's city.
const BadgeKey = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// City is a test's city. Its files go with the test.
type City struct {
	CA    string // the authority's folder
	Stick string // where a technician's stick is mounted

	t    testing.TB
	tree string // the top of the source tree
}

// New makes an authority with certificates for the broker and for some programs of
// the city; tree is the top of the source tree. Where openssl is not installed the
// test is skipped, or fails under CI=true.
func New(t testing.TB, tree string, programs ...string) *City {
	t.Helper()
	skiptest.Program(t, "openssl")
	tree, err := filepath.Abs(tree)
	if err != nil {
		t.Fatal(err)
	}
	c := &City{CA: t.TempDir(), Stick: t.TempDir(), t: t, tree: tree}
	c.Authority("init", "Kota Malang")
	for _, args := range [][]string{
		{"genpkey", "-algorithm", "ed25519", "-out", "city.key"},
		{"pkey", "-in", "city.key", "-pubout", "-out", "city.pem"},
	} {
		cmd := exec.Command("openssl", args...)
		cmd.Dir = c.CA
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	c.Authority("broker", "127.0.0.1", "mqtt.example.go.id")
	for _, name := range programs {
		c.Authority("client", name)
	}
	return c
}

// Authority runs ca.sh, which has to succeed, and returns what it said.
func (c *City) Authority(args ...string) string {
	c.t.Helper()
	out, err := c.TryAuthority(args...)
	if err != nil {
		c.t.Fatalf("ca.sh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryAuthority runs ca.sh and returns what it said.
func (c *City) TryAuthority(args ...string) (string, error) { return c.run(nil, args) }

// Replace signs a request for another key under a name that has a certificate, and
// returns what that said.
func (c *City) Replace(id, request string) string {
	c.t.Helper()
	out, err := c.run([]string{"REPLACE=" + id}, []string{"sign", request})
	if err != nil {
		c.t.Fatalf("REPLACE=%s ca.sh sign: %v\n%s", id, err, out)
	}
	return out
}

func (c *City) run(env, args []string) (string, error) {
	cmd := exec.Command(c.Path("scripts/city/ca.sh"), args...)
	cmd.Dir = c.CA
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "CA_PASSPHRASE="+Passphrase, "BADGE_PASSPHRASE="+BadgePassphrase), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Bundle makes the stick, or makes it anew with what is in the authority's folder.
func (c *City) Bundle() {
	c.t.Helper()
	key := filepath.Join(c.t.TempDir(), "badge.key")
	debtest.Write(c.t, key, BadgeKey+"\n", 0o600)
	c.Authority("bundle", c.Stick, key)
}

// Fingerprint is what the technician has on paper.
func (c *City) Fingerprint() string {
	c.t.Helper()
	return strings.TrimSpace(c.Authority("fingerprint"))
}

// Index is the authority's record of all certificates.
func (c *City) Index() string {
	c.t.Helper()
	return debtest.Read(c.t, filepath.Join(c.CA, "index.txt"))
}

// SetIndex puts another in its place, or none.
func (c *City) SetIndex(text *string) {
	c.t.Helper()
	path := filepath.Join(c.CA, "index.txt")
	if text != nil {
		debtest.Write(c.t, path, *text, 0o600)
	} else if err := os.Remove(path); err != nil {
		c.t.Fatal(err)
	}
}

// Path is a path in the source tree.
func (c *City) Path(name string) string { return filepath.Join(c.tree, name) }

// Own is the path of a file of the city's own, such as recorder.pem.
func (c *City) Own(name string) string { return filepath.Join(c.CA, "own", name) }

// Request makes a key and a request for a certificate, as on a Pi without our
// package, and returns the files that hold them.
func (c *City) Request(id string) (request, key string) {
	c.t.Helper()
	dir := c.t.TempDir()
	request, key = filepath.Join(dir, id+".csr"), filepath.Join(dir, id+".key")
	out, err := exec.Command("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", key, "-subj", "/CN="+id, "-out", request).CombinedOutput()
	if err != nil {
		c.t.Fatalf("openssl req: %v\n%s", err, out)
	}
	return request, key
}

// Issued is a copy of a gateway's newest certificate.
func (c *City) Issued(id string) (cert string) {
	c.t.Helper()
	cert = filepath.Join(c.t.TempDir(), id+".pem")
	debtest.Write(c.t, cert, debtest.Read(c.t, filepath.Join(c.CA, "issued", id+".pem")), 0o644)
	return cert
}

// Issue makes a key and a certificate for a gateway, and returns the files that
// hold them.
func (c *City) Issue(id string) (cert, key string) {
	c.t.Helper()
	request, key := c.Request(id)
	c.Authority("sign", request)
	return c.Issued(id), key
}

// Broker runs the city's mosquitto with the delivered configuration, at a port of
// this machine.
func (c *City) Broker() *brokertest.Broker {
	c.t.Helper()
	return c.BrokerWith(c.Path("scripts/city/gatewayd.acl"))
}

// BrokerWith is Broker with another ACL than the delivered one.
func (c *City) BrokerWith(acl string) *brokertest.Broker {
	c.t.Helper()
	conf := c.Edit(debtest.Read(c.t, c.Path("scripts/city/mosquitto.conf")), map[string]string{
		"listener 8883\n":                      "", // brokertest has its own
		"/etc/mosquitto/gatewayd/city-ca.pem":  filepath.Join(c.CA, "ca.pem"),
		"/etc/mosquitto/gatewayd/broker.":      c.Own("broker."),
		"/etc/mosquitto/gatewayd/crl.pem":      filepath.Join(c.CA, "crl.pem"),
		"/etc/mosquitto/gatewayd/gatewayd.acl": acl,
		"persistence true\n":                   "persistence true\npersistence_location " + c.t.TempDir() + "/\n",
	})
	return brokertest.Start(c.t, strings.Split(conf, "\n")...)
}

// EndSoon puts a certificate that ends within a time in place of one of the
// authority's, such as own/broker: for the same name and key.
func (c *City) EndSoon(name string, left time.Duration) {
	c.t.Helper()
	cert := filepath.Join(c.CA, name+".pem")
	const form = "060102150405Z"
	extensions, err := exec.Command("openssl", "x509", "-in", cert, "-noout", "-ext", "extendedKeyUsage,subjectAltName").Output()
	if err != nil {
		c.t.Fatalf("openssl x509: %v", err)
	}
	text := "extendedKeyUsage = clientAuth\n"
	if _, names, ok := strings.Cut(string(extensions), "Alternative Name: \n"); ok {
		text = "extendedKeyUsage = serverAuth\nsubjectAltName = " + strings.ReplaceAll(strings.TrimSpace(names), "IP Address", "IP") + "\n"
	}
	dir := c.t.TempDir()
	debtest.Write(c.t, filepath.Join(dir, "ext"), text, 0o600)
	debtest.Write(c.t, filepath.Join(dir, "conf"), "[ca]\ndefault_ca = x\n[x]\ndatabase = "+filepath.Join(c.CA, "index.txt")+
		"\nnew_certs_dir = "+filepath.Join(c.CA, "certificates")+"\nrand_serial = yes\ndefault_md = sha256\nunique_subject = no\npolicy = p\n[p]\ncommonName = supplied\n", 0o600)
	cmd := exec.Command("openssl", "ca", "-batch", "-notext", "-config", filepath.Join(dir, "conf"), "-cert", filepath.Join(c.CA, "ca.pem"),
		"-keyfile", filepath.Join(c.CA, "ca.key"), "-passin", "pass:"+Passphrase, "-extfile", filepath.Join(dir, "ext"),
		"-in", filepath.Join(c.CA, name+".csr"), "-out", cert,
		"-startdate", time.Now().Add(left-100*24*time.Hour).UTC().Format(form), "-enddate", time.Now().Add(left).UTC().Format(form))
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("openssl ca: %v\n%s", err, out)
	}
}

// Shown is the certificate that a broker shows.
func (c *City) Shown(b *brokertest.Broker) *x509.Certificate {
	c.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(debtest.Read(c.t, filepath.Join(c.CA, "ca.pem"))))
	conn, err := tls.Dial("tcp", b.Address(), &tls.Config{RootCAs: roots})
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// Edit replaces parts of a delivered file, which all have to be there.
func (c *City) Edit(text string, changes map[string]string) string {
	c.t.Helper()
	for from, to := range changes {
		if !strings.Contains(text, from) {
			c.t.Fatalf("there is no %q in\n%s", from, text)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

// As lets a client of the broker show a certificate.
func (c *City) As(b *brokertest.Broker, cert, key string) func(*mqtt.ClientOptions) {
	c.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(debtest.Read(c.t, filepath.Join(c.CA, "ca.pem"))))
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		c.t.Fatal(err)
	}
	return func(o *mqtt.ClientOptions) {
		o.Servers = nil
		o.AddBroker("ssl://" + b.Address()).SetTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
	}
}

// AsProgram lets a client be a program of the city.
func (c *City) AsProgram(b *brokertest.Broker, name string) func(*mqtt.ClientOptions) {
	c.t.Helper()
	return c.As(b, c.Own(name+".pem"), c.Own(name+".key"))
}
