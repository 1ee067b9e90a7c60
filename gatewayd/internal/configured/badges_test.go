package configured_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/sim"
)

// TestBadgeCAThatIsNone is named by file and key, and it is said what to do.
func TestBadgeCAThatIsNone(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(nil, form, form, public, private)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text []byte
		want string // behind the file's name
	}{
		"over Ed25519": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), ": badges.ca_file: cannot be used"},
		"simulated":    {sim.BadgeCA(), ": badges.ca_file: holds the authority of simulated badges"},
	} {
		path := filepath.Join(t.TempDir(), "badge-ca.pem")
		if err := os.WriteFile(path, tc.text, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := &config.Config{Badges: config.Badges{CAFile: path}}
		problems := configured.CheckBadgeCA(cfg)
		if len(problems) != 1 {
			t.Fatalf("%s: %v", name, problems)
		}
		if line := problems[0].String(); !strings.HasPrefix(line, path+tc.want) || !strings.Contains(line, "badge") || !strings.Contains(line, "put the") {
			t.Errorf("%s: %s", name, line)
		}
	}
}
