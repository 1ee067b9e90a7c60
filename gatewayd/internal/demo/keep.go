package demo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/sealkey"
)

// keptEvents is the file of a kept demonstration with all events as the city got them,
// each id and rev once; its folder keptKeys has the gateway's public key beside it.
const (
	keptEvents = "events.jsonl"
	keptKeys   = "keys"
)

// keeping makes the gateway's seal key and, where the demonstration is to be kept, the
// folder with its public half and the file that the city's events go to.
func (d *demonstration) keeping() (io.WriteCloser, error) {
	key, err := sealkey.Create(filepath.Join(d.dir, "seal.key"))
	if err != nil {
		return nil, err
	}
	if d.keep == "" {
		return nothing{}, nil
	}
	keys := filepath.Join(d.keep, keptKeys)
	if err := os.MkdirAll(keys, 0o755); err != nil {
		return nil, fmt.Errorf("keep the demo: %w", err)
	}
	events, err := os.OpenFile(filepath.Join(d.keep, keptEvents), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, language.Errorf("keep the demo: there is one in %s already; name another folder",
			"simpan demo: di %s sudah ada; sebutkan folder lain", d.keep)
	}
	if err != nil {
		return nil, fmt.Errorf("keep the demo: %w", err)
	}
	if err := os.WriteFile(filepath.Join(keys, "demo-01.pem"), []byte(key.PublicPEM()), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("keep the demo: %w", err), events.Close())
	}
	return events, nil
}

// hint says how to check what was kept.
func (d *demonstration) hint() {
	if d.keep == "" {
		d.text(language.Say(
			"With --keep DIR the demo leaves what the city got there, for a check that nobody has changed it.",
			"Dengan --keep DIR demo menyimpan yang diterima kota di sana, untuk diperiksa bahwa tidak ada yang mengubahnya.").In(d.screen.Language))
		return
	}
	d.text(language.Say("Whether anybody has changed what the city got:", "Untuk memeriksa apakah ada yang mengubah yang diterima kota:").In(d.screen.Language))
	d.text(fmt.Sprintf("    python3 scripts/city/audit/audit.py -captured -keys %s %s",
		filepath.Join(d.keep, keptKeys), filepath.Join(d.keep, keptEvents)))
}

// nothing is where events go that nobody keeps.
type nothing struct{}

func (nothing) Write(b []byte) (int, error) { return len(b), nil }
func (nothing) Close() error                { return nil }
