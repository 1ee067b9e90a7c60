package configured

import (
	"errors"
	"fmt"

	"presence/config"
	"presence/drivers/card"
	"presence/gatewayd/internal/proof"
	"presence/gatewayd/internal/sim"
)

// BadgeAuthority reads the authority of PIV badges, nil where none is configured. That of
// simulated badges counts for a simulated gateway only.
func BadgeAuthority(cfg *config.Config) (*proof.Authority, error) {
	if cfg.Badges.CAFile == "" {
		return nil, nil
	}
	var refused []byte
	if !cfg.Simulated() {
		refused = sim.BadgeCA()
	}
	return proof.ReadAuthority(cfg.Badges.CAFile, refused)
}

// CheckBadgeCA reads the authority of PIV badges as the daemon would.
func CheckBadgeCA(cfg *config.Config) config.Problems {
	_, err := BadgeAuthority(cfg)
	if err == nil {
		return nil
	}
	en := fmt.Sprintf("cannot be used (%v): put the certificate of the badges' CA there, badge-ca.pem of ca.sh", err)
	id := fmt.Sprintf("tidak dapat dipakai (%v): taruh sertifikat CA kartu di sana, badge-ca.pem dari ca.sh", err)
	if errors.Is(err, proof.ErrSimulated) {
		en = err.Error()
		id = "memuat CA kartu tiruan, yang dapat dibuat siapa saja: taruh CA kartu dari kota di sana (ca.sh)"
	}
	return config.Problems{{File: cfg.Badges.CAFile, Key: "badges.ca_file", Text: en, ID: id}}
}

// SimulatedKeys makes the keys of simulated cards for a simulated gateway, nil for a real
// one.
func SimulatedKeys(cfg *config.Config) proof.Simulated {
	if !cfg.Simulated() {
		return nil
	}
	return simulatedKeys{}
}

// simulatedKeyNo is which of a simulated card's keys gateways know.
const simulatedKeyNo = 1

// simulatedKeys implements proof.Simulated.
type simulatedKeys struct{}

func (simulatedKeys) KeyOf(uid card.UID) proof.CardKey {
	return proof.CardKey{No: simulatedKeyNo, Key: sim.BadgeKey(uid)}
}

func (simulatedKeys) KeyOfNumber(number [16]byte) proof.CardKey {
	return proof.CardKey{No: simulatedKeyNo, Key: sim.NumberKey(number)}
}
