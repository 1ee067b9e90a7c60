package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"presence/config"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/sim"
)

// cli is the command line, as kong reads it: the flags of all commands, and the commands.
type cli struct {
	Config string `help:"The configuration file." default:"${config}" placeholder:"FILE"`

	Run         runCmd         `cmd:"" help:"Run the gateway. SIGTERM stops it, SIGHUP reads the configuration again."`
	Check       checkCmd       `cmd:"" help:"Check the configuration and report everything that is wrong with it."`
	Demo        demoCmd        `cmd:"" help:"Show the main job with nothing installed: an office morning with mocked hardware and a broker inside."`
	Status      statusCmd      `cmd:"" help:"Ask the running gateway how it is."`
	Doctor      doctorCmd      `cmd:"" help:"Check this machine and its configuration, and name the command that mends what is wrong."`
	Watch       watchCmd       `cmd:"" help:"Show taps, tags and reader state live."`
	Export      exportCmd      `cmd:"" help:"Print the journal's events, also while the gateway runs."`
	Deliver     deliverCmd     `cmd:"" help:"Deliver what waits in the folder of a gateway that does not run, such as on the card of a broken Pi, under its own name."`
	Forget      forgetCmd      `cmd:"" help:"Remove a person's records from this gateway for good."`
	Verify      verifyCmd      `cmd:"" help:"Check every record of the journal. It exits with 1 if the journal is damaged, and with 2 if it could not look."`
	Record      recordCmd      `cmd:"" help:"Write what a receiver hears into a file. Only root and the gateway's own user can: it says where people are."`
	Replay      replayCmd      `cmd:"" help:"Show what the decoder, and the gate, make of such a file."`
	Badge       badgeCmd       `cmd:"" help:"Print the badge id that this gateway sends for a card. Only root and the gateway's own user can: it takes the badge key."`
	Certificate certificateCmd `cmd:"" help:"Tell whether the gateway could use a certificate's file, for whom it is and until when."`
	Sim         simCmd         `cmd:"" help:"Drive the mocked hardware of a running gateway (readers with bus = \"sim\")."`
	Reference   configCmd      `cmd:"" name:"config" help:"Print the reference configuration: every key with its meaning, unit, default and range."`
	Version     versionCmd     `cmd:"" help:"Print version, commit and Go version."`
	Manual      manualCmd      `cmd:"" hidden:""`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// Whoever asks twice means it: the second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	code := command(ctx, os.Args[1:], console{os.Stdout, os.Stderr, language.Of(os.Getenv)})
	stop()
	os.Exit(code)
}

// command parses and runs one command line and returns the exit code.
func command(ctx context.Context, args []string, con console) int {
	out := &output{Writer: con.out}
	con.out = out
	code := dispatch(ctx, args, con, out)
	if code == exitDone && out.err != nil {
		return exitCode(fmt.Errorf("print output: %w", out.err), con)
	}
	return code
}

// dispatch parses and runs one command line and returns the exit code. It does not
// check whether everything could be printed.
func dispatch(ctx context.Context, args []string, con console, out *output) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("gatewayd"),
		kong.Description("The presence gateway of one department: badges at the door and GPS tags, recorded durably and handed to the city over MQTT."),
		kong.Writers(con.out, con.err),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(con),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(readDuration)),
		kong.Vars{"cards": sim.CardNames(), "rogues": sim.RogueNames(), "chips": strings.Join(config.Chips(), " or "), "config": defaultConfig},
	)
	if err != nil {
		panic("declare commands: " + err.Error())
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil && out.err != nil { // it is the help that could not be printed
		return exitDone
	}
	if err != nil {
		fmt.Fprintln(con.err, language.Say("gatewayd: %v; see gatewayd --help", "gatewayd: %v; lihat gatewayd --help", err).In(con.lang))
		return exitUsage
	}
	return exitCode(parsed.Run(configFile(c.Config)), con)
}

// readDuration reads a flag's length of time as the configuration does, with
// days.
func readDuration(k *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := k.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := config.ParseDuration(text)
	if err != nil {
		return err
	}
	target.SetInt(int64(d))
	return nil
}

// exitCode prints what went wrong, one line each, and returns the exit code.
func exitCode(err error, con console) int {
	if err == nil {
		return exitDone
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			fmt.Fprintln(con.err, inLanguage(p, con.lang))
		}
		return exitUsage
	}
	var silent exitStatus
	if errors.As(err, &silent) {
		return int(silent)
	}
	fmt.Fprintf(con.err, "gatewayd: %s\n", strings.ReplaceAll(language.Explain(err, con.lang), "\n", " "))
	if errors.As(err, new(usageError)) || errors.As(err, new(unverifiedError)) {
		return exitUsage
	}
	return exitFailed
}

// inLanguage is a problem of the configuration on one line.
func inLanguage(p config.Problem, l language.Language) string {
	return language.Text{EN: p.String(), ID: p.Indonesian()}.In(l)
}
