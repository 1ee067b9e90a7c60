package manual_test

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"presence/gatewayd/internal/manual"
)

// TestEveryCommandAndFlagIsInBoth, but for what is hidden.
func TestEveryCommandAndFlagIsInBoth(t *testing.T) {
	var commands struct {
		Config string   `help:"The configuration file."`
		Run    struct{} `cmd:"" help:"Run it."`
		Sim    struct {
			Tap struct {
				HoldFor string `help:"How long."`
				Card    string `enum:"one,two" default:"one" help:"The kind."`
			} `cmd:"" help:"Tap."`
		} `cmd:"" help:"Drive the mocked hardware."`
		Secret struct{} `cmd:"" hidden:"" help:"Not for people."`
	}
	parser, err := kong.New(&commands, kong.Name("gatewayd"))
	if err != nil {
		t.Fatal(err)
	}
	var page, completion strings.Builder
	if err := manual.Page(&page, parser.Model.Node); err != nil {
		t.Fatal(err)
	}
	if err := manual.BashCompletion(&completion, parser.Model.Node); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".It Cm run\n", ".It Cm sim tap\n", ".It Fl -hold\\-for Ar "} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("%q is not in the manual page", want)
		}
	}
	for _, want := range []string{`"run") words=`, `"sim tap") words="--help --hold-for --card one two"`, `*) words="run sim --config --help"`} {
		if !strings.Contains(completion.String(), want) {
			t.Errorf("%q is not in the completion", want)
		}
	}
	if strings.Contains(page.String(), "secret") || strings.Contains(completion.String(), "secret") {
		t.Error("a hidden command is shown")
	}
}
