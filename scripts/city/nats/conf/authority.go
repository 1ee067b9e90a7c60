package conf

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// broker is the name in the certificate of the broker.
const broker = "broker"

// Keys are the public keys for which the authority has signed certificates and has not
// taken them back, by the name in the certificate. A key is in hex, the SHA-256 of its
// DER-encoded SubjectPublicKeyInfo. A certificate that is renewed has the same key, and one
// that has ended counts too: who shows it is refused for that.
type Keys map[string][]string

// ReadAuthority reads the record that ca.sh keeps in its folder: index.txt and
// certificates/.
func ReadAuthority(folder string) (Keys, error) {
	index, err := os.ReadFile(filepath.Join(folder, "index.txt"))
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	keys := make(Keys)
	for line := range strings.Lines(string(index)) {
		// Status (V: valid, E: ended, R: revoked), end, revocation, serial, file, subject.
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(field) != 6 {
			return nil, fmt.Errorf("read authority: index.txt has a line that is not understood: %q", line)
		}
		if field[0] == "R" {
			continue
		}
		name, key, err := readCertificate(filepath.Join(folder, "certificates", field[3]+".pem"))
		if err != nil {
			return nil, fmt.Errorf("read authority: %w", err)
		}
		if !slices.Contains(keys[name], key) {
			keys[name] = append(keys[name], key)
		}
	}
	return keys, nil
}

// readCertificate returns the name in a certificate and its key, as in Keys.
func readCertificate(path string) (name, key string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", path, err)
		}
		// A user is found by the whole subject, so it may hold nothing but the name.
		if subject := cert.Subject.String(); subject != "CN="+cert.Subject.CommonName {
			return "", "", fmt.Errorf("%s: its subject is %q, want a CN alone", path, subject)
		}
		sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		return cert.Subject.CommonName, hex.EncodeToString(sum[:]), nil
	}
	return "", "", fmt.Errorf("%s holds no certificate", path)
}

// clients are the names of all but the broker, in order.
func (k Keys) clients() []string {
	names := slices.Sorted(maps.Keys(k))
	return slices.DeleteFunc(names, func(name string) bool { return name == broker })
}

// pins are the keys of some names, in order.
func (k Keys) pins(names ...string) (all []string) {
	for _, name := range names {
		all = append(all, k[name]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
