package scripts_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"presence/scripts/deb/debtest"
)

// renew runs what the timer runs each day, and returns what it said.
func (d *desk) renew(url string, wantOK bool, path string) string {
	d.t.Helper()
	out, err := d.renewal(url, path).CombinedOutput()
	if (err == nil) != wantOK {
		d.t.Fatalf("renew from %s: %v %s", url, err, out)
	}
	return string(out)
}

// gatewayd builds the program that renew asks, once for all tests.
var gatewayd = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gatewayd-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-o", dir, "../gatewayd") // as other tests build it, so that it is compiled once
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build gatewayd: %w %s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "gatewayd"))
})

// renewal is a run of the timer's program that has not begun.
func (d *desk) renewal(url, path string) *exec.Cmd {
	d.t.Helper()
	debtest.Write(d.t, d.Path("etc/gatewayd/renew.conf"), url+"\n", 0o644)
	if !d.Has("usr/bin/gatewayd") {
		program, err := gatewayd()
		if err != nil {
			d.t.Fatal(err)
		}
		debtest.Write(d.t, d.Path("usr/bin/gatewayd"), string(program), 0o755)
	}
	// As the unit does, with the rights of the gateway's user, who has to reach
	// what lies in the test's folders.
	if err := os.Chmod(filepath.Dir(d.Dir), 0o711); err != nil {
		d.t.Fatal(err)
	}
	script := filepath.Join(d.t.TempDir(), "renew")
	debtest.Write(d.t, script, debtest.Read(d.t, "deb/renew"), 0o755)
	cmd := exec.Command("/bin/bash", script)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GATEWAYD_ROOT="+d.Dir, "PATH="+path+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64123, Gid: 64123}}
	return cmd
}

func TestRenew(t *testing.T) {
	t.Parallel()
	d, other := newDesk(t), newDesk(t)
	cityCA := filepath.Join(d.ca, "ca.pem")
	if out := d.renew("file:///", false, ""); !strings.Contains(out, "no key yet") {
		t.Error(out)
	}
	cert := d.signed("dinkes-01")
	d.provision("in place", "accept", cert, cityCA)
	now := func() string { return debtest.Read(t, d.tls("gateway.pem")) }
	first := now()

	offered := t.TempDir()
	offer := func(text string) { debtest.Write(t, filepath.Join(offered, "dinkes-01.pem"), text, 0o644) }
	url := "file://" + offered
	for name, tc := range map[string]struct {
		offer, says string
		ok          bool
	}{
		"the same":       {first, "", true},
		"ends sooner":    {debtest.Read(t, d.short()), "", true},
		"another's key":  {debtest.Read(t, d.foreign(other, "dinkes-01")), "another key", false},
		"another city's": {debtest.Read(t, other.foreign(d, "dinkes-01")), "not valid", false},
		"another name":   {d.renamed("dinkes-02"), "not for dinkes-01", false},
		"not one":        {"<html>not found</html>", "cannot load", false},
		"DER":            {string(certificateIn(t, d.later()).Raw), "cannot load", false},
		"a trusted one":  {d.trusted(), "cannot load", false},
		"one of two":     {d.trusted() + debtest.Read(t, d.foreign(other, "dinkes-01")), "another key", false},
		"nothing":        {"", "", false},
	} {
		offer(tc.offer)
		if out := d.renew(url, tc.ok, ""); !strings.Contains(out, tc.says) || tc.ok && out != "" {
			t.Errorf("%s: %s", name, out)
		}
		if now() != first || d.Has("var/lib/gatewayd/tls/gateway.pem.new") {
			t.Fatalf("%s: it was taken", name)
		}
	}
	if out := d.renew("https://127.0.0.1:1", false, ""); !strings.Contains(out, "cannot get https://127.0.0.1:1/dinkes-01.pem") {
		t.Error(out)
	}

	// A later one, from a web server with a certificate of the city's own.
	web := d.web(http.StripPrefix("/issued/", http.FileServer(http.Dir(filepath.Join(d.ca, "issued")))))
	if err := os.Remove(cert); err != nil { // so that it is made anew
		t.Fatal(err)
	}
	d.shorten()
	d.authority(true, "renew")
	if out := d.renew(web.URL+"/issued", true, ""); !strings.Contains(out, "renewed: dinkes-01 until") {
		t.Error(out)
	}
	if now() != debtest.Read(t, cert) {
		t.Error("the renewed certificate is not in place")
	}
	d.authority(true, "revoke", "dinkes-01")
	if out, ok := run(t, nil, "openssl", "crl", "-in", filepath.Join(d.ca, "crl.pem"), "-noout", "-text"); !ok || !strings.Contains(out, "Serial Number") {
		t.Errorf("nothing is revoked: %s", out)
	}
}

// shorten puts a certificate of one day in place.
func (d *desk) shorten() {
	d.t.Helper()
	d.provision("in place", "accept", d.short())
}

// short is a certificate of one day.
func (d *desk) short() (path string) {
	d.t.Helper()
	return d.certified(filepath.Join(d.stick, "dinkes-01.csr"), 1)
}

// renamed is a certificate for this gateway's key under another name.
func (d *desk) renamed(id string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	d.provision("", "request", id, dir)
	d.authority(true, "sign", filepath.Join(dir, id+".csr"))
	return debtest.Read(d.t, filepath.Join(d.ca, "issued", id+".pem"))
}

func TestRenewFromStepCA(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	cert := d.signed("dinkes-01")
	cityCA := filepath.Join(d.ca, "ca.pem")
	d.provision("in place", "accept", cert, cityCA)
	// What `step ca renew` does, as far as renew sees it: it is told where the new
	// certificate goes.
	bin := t.TempDir()
	if err := os.Chmod(bin, 0o777); err != nil {
		t.Fatal(err)
	}
	debtest.Write(t, filepath.Join(bin, "step"), "#!/bin/bash\necho \"$*\" >"+bin+"/told\ncp "+cert+" \"$9\"\n", 0o755)
	const url = "step:https://ca.example.go.id"
	if out := d.renew(url, true, bin); out != "" {
		t.Errorf("90 days before the end it says %s", out)
	}
	d.shorten()
	if out := d.renew(url, true, bin); !strings.Contains(out, "renewed: dinkes-01") {
		t.Error(out)
	}
	want := "ca renew --force --ca-url https://ca.example.go.id --root " + d.Path("etc/gatewayd/city-ca.pem")
	if got := debtest.Read(t, filepath.Join(bin, "told")); !strings.HasPrefix(got, want) {
		t.Errorf("step was told %s", got)
	}
}

// later is a certificate that ends later than what the authority issues.
func (d *desk) later() (path string) {
	d.t.Helper()
	return d.certified(filepath.Join(d.stick, "dinkes-01.csr"), 200)
}

// trusted is such a one in a form that openssl reads and the gateway does not.
func (d *desk) trusted() string {
	d.t.Helper()
	out, ok := run(d.t, nil, "openssl", "x509", "-in", d.later(), "-trustout", "-addtrust", "clientAuth")
	if !ok {
		d.t.Fatal(out)
	}
	return out
}

// certificateIn reads a certificate.
func certificateIn(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(debtest.Read(t, path)))
	if block == nil {
		t.Fatalf("%s is no PEM file", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// web is a server with a certificate of the city's own.
func (d *desk) web(handler http.Handler) *httptest.Server {
	d.t.Helper()
	d.authority(true, "broker", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(filepath.Join(d.ca, "own/broker.pem"), filepath.Join(d.ca, "own/broker.key"))
	if err != nil {
		d.t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(handler)
	web.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	web.StartTLS()
	d.t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return web
}

// left is what lies in the gateway's folder beside its keys and certificates.
func (d *desk) left() (names []string) {
	d.t.Helper()
	files, err := os.ReadDir(d.tls(""))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains([]string{"gateway.key", "gateway.pem", "seal.key", "seal.pem"}, f.Name()) {
			names = append(names, f.Name())
		}
	}
	return names
}

// A server that sends without an end, and without saying how much it will be, fills
// no disk; and what is stopped in the middle leaves nothing behind.
func TestRenewIsBoundedAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.provision("in place", "accept", d.signed("dinkes-01"), filepath.Join(d.ca, "ca.pem"))
	temporary := t.TempDir()
	if err := os.Chmod(temporary, 0o777); err != nil {
		t.Fatal(err)
	}
	first := debtest.Read(t, d.tls("gateway.pem"))
	var sent atomic.Int64
	asked := make(chan struct{}, 1)
	web := d.web(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 32<<10)
		for r.Context().Err() == nil {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
			if strings.HasPrefix(r.URL.Path, "/slow/") {
				w.(http.Flusher).Flush()
				asked <- struct{}{}
				<-r.Context().Done()
			}
		}
	}))
	debtest.Write(t, d.tls("gateway.pem.new"), "of one that was killed", 0o600)
	cmd := d.renewal(web.URL+"/endless", "")
	cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot get") {
		t.Errorf("it says %s", out)
	}
	if sent.Load() > 32<<20 {
		t.Errorf("it took %d bytes", sent.Load())
	}
	if left := d.left(); len(left) > 0 {
		t.Errorf("it left %v", left)
	}

	cmd = d.renewal(web.URL+"/slow", "")
	cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Wait(); err == nil || time.Since(began) > 30*time.Second {
		t.Errorf("stopped, it ended after %v with %v", time.Since(began), err)
	}
	if left := d.left(); len(left) > 0 || debtest.Read(t, d.tls("gateway.pem")) != first {
		t.Errorf("stopped, it left %v", left)
	}
	if files, err := os.ReadDir(temporary); err != nil || len(files) > 0 {
		t.Errorf("it left %v in the temporary folder: %v", files, err)
	}
}
