package scripts_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// secret is a file that only root may read, outside of the gateway's folder.
type secret struct {
	t          *testing.T
	path, text string
}

func newSecret(t *testing.T, text string) secret {
	t.Helper()
	s := secret{t, filepath.Join(t.TempDir(), "shadow"), text}
	debtest.Write(t, s.path, text, 0o600)
	return s
}

// untouched fails the test if somebody else may read it now, or it was changed.
func (s secret) untouched(what string) {
	s.t.Helper()
	info, err := os.Stat(s.path)
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	if info.Mode().Perm() != 0o600 || debtest.Read(s.t, s.path) != s.text {
		s.t.Fatalf("%s: root's file is %s and holds %.40q", what, info.Mode(), debtest.Read(s.t, s.path))
	}
	if owner, ok := run(s.t, nil, "stat", "-c", "%u:%g", s.path); !ok || owner != "0:0\n" {
		s.t.Fatalf("%s: root's file is given to %s", what, owner)
	}
}

// Whoever has taken a gateway over owns its folder, and may put links there. Root
// neither reads nor writes nor hands out anything through them.
func TestProvisionOpensNothingThroughTheGatewaysFolder(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	cert := d.signed("dinkes-01")
	cityCA := filepath.Join(d.ca, "ca.pem")
	// A key of root's own, with a certificate of the city.
	other := newDesk(t)
	otherCert := d.foreign(other, "dinkes-01")
	key := newSecret(t, debtest.Read(t, other.tls("gateway.key")))

	plant := func(name string) {
		t.Helper()
		if err := os.RemoveAll(d.tls(name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(key.path, d.tls(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"gateway.pem", "gateway.pem.new", "gateway.key.new"} {
		plant(name)
		d.provision("in place", "accept", cert, cityCA)
		d.provision("The request is", "request", "dinkes-01", d.stick)
		key.untouched(name)
	}
	for _, name := range []string{"gateway.key", "gateway.key.next"} {
		plant(name)
		d.provision("!another key", "accept", otherCert, cityCA)
		key.untouched(name)
	}
	plant("gateway.key")
	_, _ = run(t, secrets, "./provision.sh", "--root", d.Dir, "request", "dinkes-01", d.stick) // with a key of its own, or not at all
	key.untouched("gateway.key")
	requested, _ := run(t, nil, "openssl", "req", "-in", filepath.Join(d.stick, "dinkes-01.csr"), "-noout", "-pubkey")
	if public, ok := run(t, nil, "openssl", "pkey", "-in", key.path, "-pubout"); !ok || requested == public {
		t.Error("it made a request with root's key")
	}

	// The folder itself is a link.
	for _, name := range []string{"gateway.key", "gateway.key.next"} {
		if err := os.RemoveAll(d.tls(name)); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	if err := os.Rename(d.tls(""), d.Path("var/lib/gatewayd/away")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, d.Path("var/lib/gatewayd/tls")); err != nil {
		t.Fatal(err)
	}
	d.provision("!", "--new-key", "request", "dinkes-01", d.stick)
	if files, err := os.ReadDir(root); err != nil || len(files) > 0 {
		t.Errorf("it wrote %v into root's folder: %v", files, err)
	}
}

// Nor does the daily renewal, which is the gateway's user's own.
func TestRenewIsNotForRoot(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if out, ok := run(t, []string{"GATEWAYD_ROOT=" + d.Dir}, "deb/renew"); ok || !strings.Contains(out, "systemctl start gatewayd-renew") {
		t.Errorf("as root it says %s", out)
	}
}

// The same while the links are swapped in at any moment.
func TestProvisionWhileLinksAreSwapped(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	cert := d.signed("dinkes-01")
	cityCA := filepath.Join(d.ca, "ca.pem")
	shadow := newSecret(t, "root:$6$secret\n")
	for _, name := range []string{"gateway.pem.new", "gateway.key.next"} {
		ctx, stop := context.WithCancel(t.Context())
		swapped := make(chan error, 1)
		go func() {
			var err error
			for n := 0; ctx.Err() == nil && err == nil; n++ {
				link := filepath.Join(d.Dir, fmt.Sprintf("link-%d", n%2))
				if err = os.Symlink(shadow.path, link); err == nil {
					err = os.Rename(link, d.tls(name))
				}
			}
			swapped <- err
		}()
		for range 5 {
			// It may fail, and must do no harm.
			_, _ = run(t, secrets, "./provision.sh", "--root", d.Dir, "accept", cert, cityCA)
			_, _ = run(t, secrets, "./provision.sh", "--root", d.Dir, "--new-key", "request", "dinkes-01", d.stick)
			shadow.untouched(name)
		}
		stop()
		if err := <-swapped; err != nil {
			t.Fatal(err)
		}
	}
	if out, found := run(t, nil, "grep", "-rl", strings.TrimSpace(shadow.text), d.Path("var/lib/gatewayd"), d.Path("etc"), d.stick); found {
		t.Errorf("root's secret was copied into %s", out)
	}
}
