package sealkey_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/sealkey"
)

// TestKeyThatNobodyNamesMayLack: that there is no key beside the broker's is no problem until
// one has sealed something; one that comes later is used, and one that goes is missed.
func TestKeyThatNobodyNamesMayLack(t *testing.T) {
	r := newRig(t)
	away := filepath.Join(r.dir, "away")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(r.opt.KeyFile, away)
	named := sealkey.Read(r.opt)
	if p := named.Check(now); p == nil || p.Fault != sealkey.Unreadable {
		t.Errorf("of a key that was named: %v", p)
	}
	r.opt.MayLack = true
	files := sealkey.Read(r.opt)
	if p := files.Check(now); p != nil || files.Key() != nil || files.Refresh() {
		t.Errorf("of a key that nobody named: %v", p)
	}
	sealed := sealkey.Read(r.opt)
	sealed.Require()
	sealed.Refresh()
	if p := sealed.Check(now); p == nil || p.Fault != sealkey.Unreadable {
		t.Errorf("of a key with which the journal was sealed: %v", p)
	}
	move(away, r.opt.KeyFile)
	if !files.Refresh() || files.Key() == nil || files.Check(now) != nil {
		t.Errorf("a key that came: %v", files.Check(now))
	}
	move(r.opt.KeyFile, away)
	if p := files.Check(now); !files.Refresh() || files.Check(now) == nil || files.Check(now).Fault != sealkey.Unreadable {
		t.Errorf("a key that went: %v", p)
	}
}

// TestRequestIsShownUntilTheCertificateIsThere: and nothing but requests, whatever lies there.
func TestRequestIsShownUntilTheCertificateIsThere(t *testing.T) {
	r := newRig(t)
	file := filepath.Join(r.dir, "seal.csr")
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("a request")}))
	}
	two := block("CERTIFICATE REQUEST") + block("CERTIFICATE REQUEST")
	write(t, file, []byte(two), 0o644)
	files := sealkey.Read(r.opt)
	if got := files.Request(); got != "" {
		t.Errorf("beside a certificate it shows %q", got)
	}
	certificate, err := os.ReadFile(r.opt.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.opt.CertFile); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		two:                            two,
		"words\n" + two + "more words": two,
		block("PRIVATE KEY") + two:     two,
		block("PRIVATE KEY"):           "",
		"":                             "",
		two + strings.Repeat("x", 9000) + "\n" + two: two,
	} {
		write(t, file, []byte(text), 0o644)
		files.Refresh()
		if got := files.Request(); got != want {
			t.Errorf("of %.60q it shows %q", text, got)
		}
	}
	write(t, file, []byte(two), 0o644)
	files.Refresh()
	write(t, r.opt.CertFile, certificate, 0o644)
	if !files.Refresh() || files.Request() != "" || files.Certificate() == "" {
		t.Errorf("with the certificate it shows %q", files.Request())
	}
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.opt.CertFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if files.Refresh(); files.Request() != "" {
		t.Error("it shows a folder")
	}
}
