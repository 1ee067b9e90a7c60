package main

import (
	"errors"
	"slices"

	"presence/config"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/language"
)

// daemonOf finds the running daemon of a configuration.
func daemonOf(file configFile) (*control.Client, error) {
	// Whoever may ask the daemon need not be able to read the badge key, and the
	// configuration may be in the middle of being changed.
	gateway, err := config.Basics(string(file))
	if err != nil {
		return nil, err
	}
	d, err := control.Dial(gateway.StateDir)
	return d, elsewhere(string(file), gateway.StateDir, err)
}

// elsewhere is for an error that means "no gateway runs in this folder". Where the
// configuration file could not be read well enough to say which folder it is, the
// returned error adds that the gateway may run in another one.
func elsewhere(path, stateDir string, err error) error {
	var wrong config.Problems
	if err == nil || !errors.As(config.WhyDefaultState(path), &wrong) || len(wrong) == 0 {
		return err
	}
	why := wrong[0]
	if i := slices.IndexFunc(wrong, func(p config.Problem) bool { return p.Key == "gateway.state_dir" }); i >= 0 {
		why = wrong[i]
	}
	return language.Errorf(
		"%v; the gateway may run in another folder: %s was asked because the configuration names none that can be read (%s); gatewayd check names all that is wrong",
		"%v; mungkin gateway berjalan di folder lain: %s ditanya karena konfigurasi tidak menyebut folder yang dapat dibaca (%s); gatewayd check menyebut semua yang salah",
		err, stateDir, language.Text{EN: why.String(), ID: why.Indonesian()})
}
