package deliver

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"presence/config"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/signed"
	"presence/gatewayd/internal/uplink"
)

// ErrNoCertificate means that nothing here may speak for the gateway. The broker lets
// nobody else publish on its topics (gatewayd.acl).
var ErrNoCertificate error = language.Errorf("there is no certificate for it", "tidak ada sertifikat untuknya")

// ErrConnected means that the gateway itself runs on this machine. A broker keeps only
// one connection of a name, so the two would throw each other off.
var ErrConnected error = language.Errorf("it runs on this machine, and the broker lets only one of the two in", "gateway itu berjalan di mesin ini, dan broker hanya menerima salah satu dari keduanya")

// findLine finds out how to reach the broker in the name of a gateway, whose folder is
// stateDir:
//
//   - by the configuration at path, if it is that of a gateway of this name which has its
//     certificate already, such as the one that has taken a broken one's place;
//   - else with the certificate in the folder, and all else of the configuration at path
//     or, where there is none, of the configuration beside the folder, as on a card.
func findLine(path, stateDir string, who presence.Origin) (uplink.Options, error) {
	own, err := provisioned(path)
	if err != nil {
		return uplink.Options{}, err
	}
	beside, err := besideFolder(stateDir)
	if err != nil {
		return uplink.Options{}, err
	}
	for _, cfg := range []*config.Config{own, beside} {
		if cfg != nil && cfg.Gateway.ID == who.Gateway && runs(cfg.Gateway.StateDir) {
			return uplink.Options{}, language.Errorf("deliver for %s: %v: sudo systemctl stop gatewayd, deliver, and sudo systemctl start gatewayd", "kirim untuk %s: %v: sudo systemctl stop gatewayd, kirim, lalu sudo systemctl start gatewayd", who.Gateway, ErrConnected)
		}
	}
	if own != nil && own.Gateway.ID == who.Gateway && certified(own) {
		return lineOf(own, who)
	}
	cfg := own
	if cfg == nil {
		cfg = beside
	}
	if cfg == nil {
		return uplink.Options{}, language.Errorf("deliver for %s: there is no configuration at %s or beside %s that names the broker", "kirim untuk %s: tidak ada konfigurasi di %s atau di samping %s yang menyebut broker", who.Gateway, path, stateDir)
	}
	line, err := lineOf(cfg, who)
	if err != nil {
		return uplink.Options{}, err
	}
	cert, key := filepath.Join(stateDir, "tls", "gateway.pem"), filepath.Join(stateDir, "tls", "gateway.key")
	switch named, err := nameIn(cert, key); {
	case err == nil && named == who.Gateway:
		line.CertFile, line.KeyFile, line.Username, line.PasswordFile = cert, key, "", ""
		return line, nil
	case beside != nil && beside.Gateway.ID == who.Gateway && beside.MQTT.CertFile != cert:
		return lineOf(beside, who)
	case err == nil:
		return uplink.Options{}, language.Errorf("deliver for %s: %v: %s is that of %s", "kirim untuk %s: %v: %s milik %s", who.Gateway, ErrNoCertificate, cert, named)
	case errors.Is(err, fs.ErrNotExist):
		return uplink.Options{}, language.Errorf("deliver for %s: %v: neither in %s/tls, nor on this machine as a gateway of that name", "kirim untuk %s: %v: tidak di %s/tls, dan tidak di mesin ini sebagai gateway dengan nama itu", who.Gateway, ErrNoCertificate, stateDir)
	default:
		return uplink.Options{}, language.Errorf("deliver for %s: %v: %v", "kirim untuk %s: %v: %v", who.Gateway, ErrNoCertificate, err)
	}
}

// certified reports whether a gateway has its certificate, or needs none.
func certified(cfg *config.Config) bool {
	_, err := os.Stat(cfg.MQTT.CertFile)
	return cfg.MQTT.CertFile == "" || err == nil
}

// lineOf is the line of a configuration in the name of a gateway.
func lineOf(cfg *config.Config, who presence.Origin) (uplink.Options, error) {
	line := configured.Line(cfg)
	line.Origin = who
	if err := cfg.City.ReadKey(); err != nil {
		return line, language.Errorf("deliver for %s: read the city's key: %v", "kirim untuk %s: baca kunci kota: %v", who.Gateway, err)
	}
	if key := cfg.City.Key; key != nil {
		line.City = signed.City{Key: key, Dinas: who.Dinas, Gateway: who.Gateway}
	}
	return line, nil
}

// provisioned is the configuration at a path, nil where there is none or only the one
// that the package brings, which is no gateway's.
func provisioned(path string) (*config.Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && bytes.Equal(text, config.Reference()) {
		return nil, nil
	}
	return config.LoadOnly(path)
}

// besideFolder is the configuration beside a state folder, as on a mounted card, with
// the paths in it as they are found from here. It is nil where there is none.
func besideFolder(stateDir string) (*config.Config, error) {
	root, err := filepath.Abs(filepath.Join(stateDir, "..", "..", ".."))
	if err != nil {
		return nil, language.Errorf("find the configuration beside %s: %v", "cari konfigurasi di samping %s: %v", stateDir, err)
	}
	cfg, err := provisioned(filepath.Join(root, "etc", "gatewayd", "gatewayd.toml"))
	if cfg == nil || err != nil {
		return nil, nil // whatever is wrong with it, the folder can do without
	}
	below := root
	if below != "/" {
		below += "/"
	}
	for _, path := range []*string{&cfg.MQTT.CAFile, &cfg.MQTT.CertFile, &cfg.MQTT.KeyFile, &cfg.MQTT.PasswordFile, &cfg.City.KeyFile, &cfg.Gateway.StateDir} {
		if *path != "" && !strings.HasPrefix(*path, below) {
			*path = filepath.Join(root, *path)
		}
	}
	return cfg, nil
}

// runs reports whether a gateway runs on a state folder.
func runs(stateDir string) bool {
	_, err := control.Dial(stateDir)
	return !errors.Is(err, control.ErrNotRunning)
}

// nameIn is the name that a certificate with its key is for.
func nameIn(cert, key string) (string, error) {
	if _, err := os.Stat(cert); err != nil {
		return "", err
	}
	pair, err := uplink.LoadPair(cert, key)
	if err != nil {
		return "", err
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return "", language.Errorf("read certificate: %v", "baca sertifikat: %v", err)
	}
	return leaf.Subject.CommonName, nil
}
