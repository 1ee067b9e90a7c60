package export

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"presence/config"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// Place is the folder of a gateway, and whose it is.
type Place struct {
	Origin   presence.Origin // without a Gateway where nobody knows
	StateDir string
	Own      bool // it is that of the configuration
	Named    bool // somebody has typed whose it is
}

// named is NAME=DIR with NAME as ID or DINAS/ID.
var named = regexp.MustCompile(`^(?:([a-z0-9-]{1,32})/)?([a-z0-9-]{1,32})=(.+)$`)

// FindPlaces returns the folder of the configuration at path, and the folders that texts
// name (see ParsePlaces). Of the configuration only its basics are needed, since members
// of the gateway's group may export, but not read its keys.
func FindPlaces(path string, texts []string) (own Place, places []Place, err error) {
	gateway, err := config.Basics(path)
	if err != nil {
		return own, nil, err
	}
	own = Place{
		Origin:   presence.Origin{Gateway: gateway.ID, Dinas: gateway.Dinas, Location: gateway.Timezone},
		StateDir: gateway.StateDir, Own: true,
	}
	places, err = ParsePlaces(texts, own)
	return own, places, err
}

// FindPlace returns the one folder that a text names, or that of the configuration where
// it is empty.
func FindPlace(path, text string) (Place, error) {
	var texts []string
	if text != "" {
		texts = []string{text}
	}
	_, places, err := FindPlaces(path, texts)
	if err != nil {
		return Place{}, err
	}
	return places[0], nil
}

// ParsePlaces reads folders as somebody types them: DIR, ID=DIR or DINAS/ID=DIR. Where
// the department is not said it is the configuration's. A plain DIR is the
// configuration's own, or that of the configuration beside it, as on a mounted card:
// DIR/../../../etc/gatewayd/gatewayd.toml.
func ParsePlaces(texts []string, own Place) ([]Place, error) {
	if len(texts) == 0 {
		return []Place{own}, nil
	}
	var places []Place
	var infos []os.FileInfo
	for _, text := range texts {
		p, err := parsePlace(text, own)
		if err != nil {
			return nil, language.Errorf("--state: %v", "--state: %v", err)
		}
		info, err := os.Stat(p.StateDir)
		if err != nil {
			return nil, language.Errorf("--state: there is no folder %s", "--state: folder %s tidak ada", p.StateDir)
		}
		for i, before := range infos {
			if os.SameFile(before, info) {
				return nil, language.Errorf("--state: %s and %s are the same folder: name it once", "--state: %s dan %s folder yang sama: sebutkan sekali saja", places[i].StateDir, p.StateDir)
			}
		}
		places, infos = append(places, p), append(infos, info)
	}
	return places, nil
}

func parsePlace(text string, own Place) (Place, error) {
	m := named.FindStringSubmatch(text)
	if m == nil {
		return unnamed(text, own), nil
	}
	p := Place{StateDir: m[3], Origin: presence.Origin{Dinas: m[1], Gateway: m[2], Location: own.Origin.Location}, Named: true}
	if p.Origin.Dinas == "" {
		p.Origin.Dinas = own.Origin.Dinas
	}
	if p.Origin.Dinas == "" {
		return p, language.Errorf("which department is %s of? Write it before the id: DINAS/%s", "%s milik dinas mana? Tulis di depan id: DINAS/%s", m[2], text)
	}
	p.Own = isSame(p.StateDir, own.StateDir) && p.Origin == own.Origin
	return p, nil
}

// unnamed finds out whose a folder is.
func unnamed(dir string, own Place) Place {
	if isSame(dir, own.StateDir) {
		return own
	}
	p := Place{StateDir: dir, Origin: presence.Origin{Location: own.Origin.Location}}
	beside, err := config.Basics(filepath.Join(dir, "..", "..", "..", "etc", "gatewayd", "gatewayd.toml"))
	if err == nil && beside.ID != "" && beside.Dinas != "" {
		p.Origin = presence.Origin{Gateway: beside.ID, Dinas: beside.Dinas, Location: beside.Timezone}
	}
	return p
}

// isSame reports whether two paths lead to one folder.
func isSame(a, b string) bool {
	one, err := os.Stat(a)
	other, errOther := os.Stat(b)
	return err == nil && errOther == nil && os.SameFile(one, other)
}

// ErrWhose means that nobody knows which gateway a folder is of, and none runs there
// that could be asked, or that its journal says otherwise than who calls.
var ErrWhose error = language.Errorf("which gateway is this folder of?", "folder ini milik gateway mana?")

// Holding is the place by what its journal says: whose events it holds, which is zero
// where it does not say so. What it says counts more than a configuration, which may be
// that of the gateway after it.
func (p Place) Holding(holds presence.Origin) (Place, error) {
	if holds.Gateway == "" {
		return p, p.Whose()
	}
	if p.Named && (p.Origin.Gateway != holds.Gateway || p.Origin.Dinas != holds.Dinas) {
		return p, fmt.Errorf("--state %s/%s=%s: %w Its journal says %s/%s",
			p.Origin.Dinas, p.Origin.Gateway, p.StateDir, ErrWhose, holds.Dinas, holds.Gateway)
	}
	if holds.Location == nil {
		holds.Location = p.Origin.Location
	}
	p.Origin = holds
	return p, nil
}

// Whose returns ErrWhose with what to do, unless it is known whose the place is.
func (p Place) Whose() error {
	if p.Origin.Gateway != "" {
		return nil
	}
	return language.Errorf("--state %s: %v Its journal does not say it (it is of an earlier version): write the id before it: --state dinkes-02=%s", "--state %s: %v Jurnalnya tidak menyebutnya (dari versi lama): tulis id di depannya: --state dinkes-02=%s", p.StateDir, ErrWhose, p.StateDir)
}
