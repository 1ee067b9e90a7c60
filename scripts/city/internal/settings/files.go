package settings

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"

	"presence/scripts/city"
)

// Files reads all files that the settings name, and returns what is wrong with them, one
// a line.
func (s *Settings) Files() error {
	var wrong []error
	try := func(err error) {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	if s.Database.PasswordFile != "" {
		_, err := Secret(s.Database.PasswordFile)
		try(err)
	}
	for i := range s.Brokers {
		b := &s.Brokers[i]
		_, err := b.TLS()
		try(err)
		if b.PasswordFile != "" {
			_, err := Secret(b.PasswordFile)
			try(err)
		}
	}
	_, err := s.Receipts.Key()
	try(err)
	return errors.Join(wrong...)
}

// Secret reads a password: the first line of its file, which must be its only one.
func Secret(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("read password %s: want one line and nothing else", file)
	}
	return secret, nil
}

// TLS is how the recorder goes to a broker. Files are read each time.
func (b *Broker) TLS() (*tls.Config, error) {
	return city.TLSConfig(b.CAFile, b.CertFile, b.KeyFile)
}

// Key is the key with which receipts are signed, nil if they are not.
func (r *Receipts) Key() (ed25519.PrivateKey, error) {
	if !r.Send {
		return nil, nil
	}
	return city.ReadKey(r.KeyFile)
}
