package chain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Keys is the folder with the gateways' public keys, GATEWAY.pem each.
type Keys struct{ dir string }

// OpenKeys looks whether the folder is there.
func OpenKeys(dir string) (*Keys, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("read keys: %s is no folder", dir)
	}
	return &Keys{dir: dir}, nil
}

// gatewayName is what a gateway may be called.
var gatewayName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// maxKeys is the longest file of keys that is read.
const maxKeys = 1 << 20

// of reads the keys of a gateway, by their ids. One without a file has none.
func (k *Keys) of(gateway string) (map[string]ed25519.PublicKey, error) {
	if !gatewayName.MatchString(gateway) {
		return nil, nil //nolint:nilnil // what no gateway is called has no keys
	}
	path := filepath.Join(k.dir, gateway+".pem")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // a gateway without a file
	}
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(text) > maxKeys {
		return nil, fmt.Errorf("read keys: %s is longer than %d bytes", path, maxKeys)
	}
	keys := map[string]ed25519.PublicKey{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		public, err := publicKey(block)
		if err != nil {
			return nil, fmt.Errorf("read keys: %s: %w", path, err)
		}
		if public != nil {
			keys[keyID(public)] = public
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read keys: %s has no Ed25519 key: want PEM blocks PUBLIC KEY or CERTIFICATE", path)
	}
	return keys, nil
}

// publicKey is the Ed25519 key in a block, nil in one that holds something else.
func publicKey(block *pem.Block) (ed25519.PublicKey, error) {
	var key any
	switch block.Type {
	case "PUBLIC KEY":
		var err error
		if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return nil, err
		}
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		key = certificate.PublicKey
	}
	public, _ := key.(ed25519.PublicKey)
	return public, nil
}

// keyID is how seals name a key: the first 8 bytes of SHA-256 of its 32.
func keyID(public ed25519.PublicKey) string {
	digest := sha256.Sum256(public)
	return hex.EncodeToString(digest[:8])
}

// sealText is what a seal signs.
func sealText(gateway, stream string, upto uint64, l link) []byte {
	return []byte(strings.Join([]string{"gatewayd seal v1", gateway, stream, strconv.FormatUint(upto, 10), l.String()}, "\n"))
}
