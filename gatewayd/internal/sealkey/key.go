package sealkey

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/presence"
)

// Key is a gateway's seal key. It fulfils journal.Signer.
type Key struct {
	private ed25519.PrivateKey
	id      presence.KeyID
}

// Public is the public half, 32 bytes.
func (k *Key) Public() ed25519.PublicKey { return ed25519.PublicKey(k.private[ed25519.SeedSize:]) }

// KeyID is the id under which seals name the key.
func (k *Key) KeyID() presence.KeyID { return k.id }

// Sign signs presence.SealText. It has no error.
func (k *Key) Sign(text []byte) ([]byte, error) { return ed25519.Sign(k.private, text), nil }

// PublicPEM is the public half as a SubjectPublicKeyInfo (RFC 8410) in PEM.
func (k *Key) PublicPEM() string { return publicPEM(k.Public()) }

func publicPEM(public ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic("encode public key: " + err.Error()) // every Ed25519 key has a form
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// maxFile is the largest file that is read, in bytes.
const maxFile = 64 << 10

// Create makes a new key at path, which must not exist, with mode 0600: for gateways that
// nobody provisions, such as the demonstration's.
func Create(path string) (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make seal key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("make seal key: %w", err)
	}
	f, err := durable.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make seal key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("make seal key: %w", err)
	}
	return newKey(private), nil
}

func newKey(private ed25519.PrivateKey) *Key {
	return &Key{private: private, id: presence.KeyIDOf(private[ed25519.SeedSize:])}
}

// readKey reads the key of a file. Its faults are Unreadable, Exposed and NotEd25519.
func readKey(path string) (*Key, *Problem) {
	text, problem := readPrivate(path)
	if problem != nil {
		return nil, problem
	}
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, &Problem{NotEd25519, path, errors.New("it holds no key in PEM form")}
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return nil, &Problem{NotEd25519, path, errors.New("it is under a passphrase, which nobody could type at a start")}
	case block.Type != "PRIVATE KEY":
		return nil, &Problem{NotEd25519, path, fmt.Errorf("it holds a %.40q instead of a private key in the form PKCS#8", strings.ToValidUTF8(block.Type, "?"))}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, &Problem{NotEd25519, path, errors.New("its private key cannot be read")} // the error may hold a part of it
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		kind := strings.TrimPrefix(strings.SplitN(fmt.Sprintf("%T", parsed), ".", 2)[0], "*")
		return nil, &Problem{NotEd25519, path, fmt.Errorf("it holds a key of the kind %s, and seals take Ed25519", kind)}
	}
	return newKey(private), nil
}

// readPrivate reads an ordinary file that nobody but its owner can read.
func readPrivate(path string) ([]byte, *Problem) {
	f, err := durable.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &Problem{Unreadable, path, withoutPath(err)}
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, &Problem{Unreadable, path, withoutPath(err)}
	case !info.Mode().IsRegular():
		return nil, &Problem{Unreadable, path, errors.New("it is no ordinary file")}
	case info.Mode().Perm()&0o077 != 0:
		return nil, &Problem{Exposed, path, fmt.Errorf("its mode is %04o", info.Mode().Perm())}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, &Problem{Unreadable, path, withoutPath(err)}
	case len(text) > maxFile:
		return nil, &Problem{NotEd25519, path, fmt.Errorf("it is larger than %d bytes", maxFile)}
	}
	return text, nil
}

// withoutPath is the reason why a file cannot be used, without its name.
func withoutPath(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
