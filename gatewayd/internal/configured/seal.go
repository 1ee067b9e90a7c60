package configured

import (
	"path/filepath"
	"time"

	"presence/config"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/sealkey"
)

// SealKey reads the key with which a gateway seals its journal.
func SealKey(cfg *config.Config) *sealkey.Files { return sealkey.Read(SealFiles(cfg)) }

// SealFiles says where the key is with which a gateway seals its journal: the one that the
// configuration names, or seal.key and seal.pem beside the key for the broker, where
// gatewayd-provision puts them. So a gateway that is upgraded from a version without seals
// has them, although nobody has changed its configuration.
func SealFiles(cfg *config.Config) sealkey.Options {
	opt := sealkey.Options{KeyFile: cfg.Seal.KeyFile, CertFile: cfg.Seal.CertFile, CAFile: cfg.MQTT.CAFile, Gateway: cfg.Gateway.ID}
	if opt.KeyFile == "" && cfg.MQTT.KeyFile != "" {
		beside := filepath.Dir(cfg.MQTT.KeyFile)
		opt.KeyFile, opt.CertFile, opt.MayLack = filepath.Join(beside, "seal.key"), filepath.Join(beside, "seal.pem"), true
	}
	return opt
}

// SealChecker checks seals with the keys of the gateway that is configured at path. Where
// that configuration cannot be read, no key is known.
func SealChecker(path string) *sealkey.Checker {
	cfg, err := config.LoadOnly(path)
	if err != nil {
		cfg = &config.Config{}
	}
	return SealKey(cfg).Checker()
}

// Signer is how a journal asks for the key of these files.
func Signer(files *sealkey.Files) func() journal.Signer {
	return func() journal.Signer {
		if key := files.Key(); key != nil {
			return key
		}
		return nil
	}
}

// CheckSealKey reads the seal key as the daemon would. A problem is a key with which
// nothing can be sealed, a doubt is what is wrong with its certificate.
func CheckSealKey(cfg *config.Config) (doubts, problems config.Problems) {
	p := SealKey(cfg).Check(time.Now())
	if p == nil {
		return nil, nil
	}
	said, key := SealAdvice(p), "seal.key_file"
	if p.Fault == sealkey.WrongCertificate || p.Fault == sealkey.Expired {
		key = "seal.cert_file"
	}
	found := config.Problems{{File: p.File, Key: key, Text: said.EN, ID: said.ID}}
	if p.Unusable() {
		return nil, found
	}
	return found, nil
}

// SealAdvice says what is wrong with a seal key or its certificate, and what to do.
func SealAdvice(p *sealkey.Problem) language.Text {
	switch p.Fault {
	case sealkey.Unreadable:
		return language.Say("cannot be read (%v), so nothing is sealed: let only the gateway's user read it, or make a new key (gatewayd-provision seal-key)",
			"tidak dapat dibaca (%v), jadi tidak ada yang disegel: izinkan hanya pengguna gateway membacanya, atau buat kunci baru (gatewayd-provision seal-key)", p.Err)
	case sealkey.Exposed:
		return language.Say("can be read by others (%v), so nothing is sealed: chmod 600 %s",
			"dapat dibaca pengguna lain (%v), jadi tidak ada yang disegel: chmod 600 %s", p.Err, p.File)
	case sealkey.NotEd25519:
		return language.Say("is no seal key (%v), so nothing is sealed: make one (gatewayd-provision seal-key)",
			"bukan kunci segel (%v), jadi tidak ada yang disegel: buat satu (gatewayd-provision seal-key)", p.Err)
	case sealkey.Uncertified:
		return language.Say("is not certified by the city (%v): have the city sign its request (ca.sh sign)",
			"belum disertifikasi kota (%v): minta kota menandatangani permintaannya (ca.sh sign)", p.Err)
	case sealkey.Expired:
		return language.Say("is a certificate that has ended (%v): ask for a new one of the same key (ca.sh sign)",
			"adalah sertifikat yang sudah berakhir (%v): minta yang baru untuk kunci yang sama (ca.sh sign)", p.Err)
	default:
		return language.Say("is not the certificate of the seal key (%v): put the one there that the city issued for it",
			"bukan sertifikat kunci segel (%v): taruh sertifikat yang diterbitkan kota untuk kunci itu", p.Err)
	}
}
