package configured

import (
	"errors"
	"log/slog"
	"slices"
	"testing"

	"presence/config"
	"presence/drivers/beacon"
	"presence/drivers/card"
	"presence/gatewayd/internal/sim"
)

// TestEveryChipIsKnownEverywhere: a configuration can name those chips that have a
// driver and a mock, and no others.
func TestEveryChipIsKnownEverywhere(t *testing.T) {
	named := config.Chips()
	var driven []string
	for _, c := range chips() {
		driven = append(driven, c.name)
		if c.open == nil || c.mock == nil {
			t.Errorf("chip %q has no driver or no mock", c.name)
		}
	}
	slices.Sort(named)
	slices.Sort(driven)
	if !slices.Equal(named, driven) {
		t.Errorf("config/hardware.go has the chips %q, gatewayd/internal/configured/chip.go has drivers for %q", named, driven)
	}
}

// TestEveryChipCanBeTestedAndBroken: the driver and the mock of each chip do what the
// doctor, the health document and gatewayd sim ask of them.
func TestEveryChipCanBeTestedAndBroken(t *testing.T) {
	for _, name := range config.Chips() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testAndBreak(t, name)
		})
	}
}

func testAndBreak(t *testing.T, name string) {
	hardware := sim.New()
	text := "[gateway]\nid = \"x\"\ndinas = \"x\"\n[[reader]]\nname = \"door\"\nbus = \"sim\"\nchip = \"" + name + "\"\n" +
		"[badges]\nplain_uid = true\n[mqtt]\nbroker = \"tcp://127.0.0.1:1883\"\n"
	cfg, err := config.Parse("gatewayd.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	chip, err := MockReader(hardware, cfg.Readers[0], slog.New(slog.DiscardHandler))()
	if err != nil {
		t.Fatal(err)
	}
	if err := chip.SelfTest(t.Context()); err != nil && !errors.Is(err, card.ErrNoReference) {
		t.Error(err)
	}
	if _, err := chip.Poll(t.Context()); err != nil || chip.Counts().Scans == 0 || chip.Version() == "" {
		t.Errorf("a scan: %v, counts %+v, version %q", err, chip.Counts(), chip.Version())
	}
	mocked, err := hardware.Reader("door")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		fault string
		want  error
	}{{"deaf", card.ErrDeaf}, {"bus-low", card.ErrBusDead}, {"bus-high", card.ErrBusDead}, {"none", nil}} {
		if err := mocked.Break(step.fault); err != nil {
			t.Fatal(err)
		}
		if _, err := chip.Poll(t.Context()); !errors.Is(err, step.want) {
			t.Errorf("%s: %v", step.fault, err)
		}
	}
	if err := mocked.Break("thirsty"); err == nil {
		t.Error("any fault passes")
	}
	if err := errors.Join(chip.Close(), chip.Close()); err != nil {
		t.Error(err)
	}
}

// TestEveryProtocolIsKnownEverywhere: a configuration can name those protocols
// that have a decoder, and no others.
func TestEveryProtocolIsKnownEverywhere(t *testing.T) {
	if forms := config.Payloads(); !slices.Equal(forms, beacon.Payloads()) {
		t.Errorf("payloads %q in the configuration, %q in the decoder", forms, beacon.Payloads())
	}
	named := config.Protocols()
	slices.Sort(named)
	if decoded := beacon.Protocols(); !slices.Equal(named, decoded) {
		t.Errorf("config/hardware.go has the protocols %q, drivers/beacon/protocols.go has decoders for %q", named, decoded)
	}
}
