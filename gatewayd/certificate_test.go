package main_test

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// TestCertificateTellsWhatTheGatewayCanLoad: what it takes a line to the broker can
// use, and what it prints as PEM holds nothing else.
func TestCertificateTellsWhatTheGatewayCanLoad(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	cert, key := ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	_, otherKey := ca.Issue("dinkes-02", time.Now().Add(time.Hour))
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	trusted := pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: block.Bytes})
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes[:40]})
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (out, errs string, code int) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"certificate"}, args...)...)
		var o, e strings.Builder
		cmd.Stdout, cmd.Stderr = &o, &e
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return o.String(), e.String(), cmd.ProcessState.ExitCode()
	}
	dir := t.TempDir()
	typed := func(kind string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte{1}}) }
	for name, tc := range map[string]struct {
		text   []byte
		key    string
		want   string // part of what it prints; "" where it must refuse
		refuse string // part of the reason
	}{
		"a certificate":            {text, key, "dinkes-01, issued by test city, from ", ""},
		"DER":                      {block.Bytes, key, "", "in DER form"},
		"trusted":                  {trusted, key, "", "TRUSTED CERTIFICATE"},
		"broken":                   {broken, key, "", "malformed"},
		"with a broken one behind": {append(text[:len(text):len(text)], broken...), key, "", "malformed"},
		"for another key":          {text, otherKey, "", "private key does not match"},
		"a page":                   {[]byte("<html>"), key, "", "no PEM file"},
		"endless":                  {make([]byte, 2<<20), key, "", "larger than"},
		"a public key":             {typed("PUBLIC KEY"), key, "", "it is a public key and no certificate"},
		"a private key":            {typed("EC PRIVATE KEY"), key, "", "it is a private key and no certificate"},
		"a request":                {typed("CERTIFICATE REQUEST"), key, "", "it is the request for a certificate"},
		"a CRL":                    {typed("X509 CRL"), key, "", "it is a list of revoked certificates (CRL)"},
		"PKCS #7":                  {typed("PKCS7"), key, "", "it is a PKCS #7 file"},
		"something else":           {typed("DH PARAMETERS"), key, "", `it is a "DH PARAMETERS" and no certificate`},
	} {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, tc.text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, code := run("--key", tc.key, path)
		if tc.want == "" && (code != 1 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, tc.refuse)) || tc.want != "" && (code != 0 || !strings.Contains(out, tc.want)) {
			t.Errorf("%s: exit %d, %q %q", name, code, out, errs)
		}
	}
	path := filepath.Join(dir, "both")
	if err := os.WriteFile(path, append(trusted, text...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := run("--pem", path); code != 0 || out != string(text) {
		t.Errorf("as PEM: exit %d, %q %q", code, out, errs)
	}
}
