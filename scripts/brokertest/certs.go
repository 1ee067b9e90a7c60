package brokertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a throw-away certificate authority whose files lie in a folder of the
// test.
type CA struct {
	Dir  string
	File string // its certificate, PEM

	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

// NewCA makes an authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	return NewCAFor(t, "test city", time.Now().Add(24*time.Hour))
}

// NewCAFor is NewCA with the authority's name, and until when it is valid.
func NewCAFor(t testing.TB, name string, until time.Time) *CA {
	t.Helper()
	ca := &CA{Dir: t.TempDir(), t: t, next: 1}
	ca.File = filepath.Join(ca.Dir, "ca.pem")
	ca.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(ca.next), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, ca.File, "CERTIFICATE", der)
	return ca
}

// StartTLS runs a broker with a listener for the test's city, and one for gateways
// whose own certificate is good until a time and which wants certificates of the
// CA. It returns the address of the latter. The lines added are for both.
func StartTLS(t testing.TB, ca *CA, until time.Time, extra ...string) (b *Broker, address string) {
	t.Helper()
	cert, key := ca.Issue("broker", until)
	port := FreePort(t)
	lines := append([]string{"allow_anonymous true"}, extra...)
	b = Start(t, append(lines, fmt.Sprintf("listener %d 127.0.0.1", port),
		"cafile "+ca.File, "certfile "+cert, "keyfile "+key, "require_certificate true")...)
	return b, fmt.Sprintf("127.0.0.1:%d", port)
}

// StartWebSocket runs a broker with a listener for the test's city, and one for MQTT over
// WebSocket, whose address it returns. With an authority that one speaks TLS, as that of
// StartTLS does. The lines added are for both.
func StartWebSocket(t testing.TB, ca *CA, extra ...string) (b *Broker, address string) {
	t.Helper()
	port := FreePort(t)
	// mosquitto 2.0 does not start with listeners for WebSocket alone.
	lines := append([]string{"allow_anonymous true"}, extra...)
	lines = append(lines, fmt.Sprintf("listener %d 127.0.0.1", port), "protocol websockets")
	if ca != nil {
		cert, key := ca.Issue("broker", time.Now().Add(24*time.Hour))
		lines = append(lines, "cafile "+ca.File, "certfile "+cert, "keyfile "+key, "require_certificate true")
	}
	b = Start(t, lines...)
	address = fmt.Sprintf("127.0.0.1:%d", port)
	for deadline := time.Now().Add(Wait); ; { // it opens this one last
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return b, address
		}
		if time.Now().After(deadline) {
			t.Fatalf("mosquitto opens no listener for WebSocket: %v", err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// Issue makes a certificate that is valid until a time, for a name and for
// 127.0.0.1, and returns the files that hold it and its key.
func (ca *CA) Issue(name string, until time.Time) (certFile, keyFile string) {
	ca.t.Helper()
	return ca.IssueFrom(name, time.Now().Add(-48*time.Hour), until)
}

// IssueFrom is Issue with a time from which on the certificate is valid.
func (ca *CA) IssueFrom(name string, from, until time.Time) (certFile, keyFile string) {
	ca.t.Helper()
	ca.next++
	key := newKey(ca.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(ca.next), Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: until,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(ca.Dir, name+".pem"), filepath.Join(ca.Dir, name+".key")
	writePEM(ca.t, certFile, "CERTIFICATE", der)
	writePEM(ca.t, keyFile, "EC PRIVATE KEY", keyDER)
	return certFile, keyFile
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
