// Command audit checks that nobody has changed, long afterwards, what gateways recorded:
//
//	audit -keys DIR [-captured] [-head STREAM-SEQ:LINK] FILE...
//
// FILEs (or - for standard input) hold events, a JSON object a line: of a gateway (gatewayd
// export --sealed --format jsonl) or of the city's database (presence.sent). DIR holds the
// public keys of each gateway's seals, GATEWAY.pem: PEM blocks PUBLIC KEY or CERTIFICATE.
// The events of several gateways may be in one file, and those of one in several files.
// With -captured the files hold what a broker delivered: in any order, and some of it
// twice. With -head the chain has to reach an event that is known from elsewhere.
//
// It prints, a line each, what seals cover (sealed), what gaps say is missing (gap), and
// what does not hold:
//
//	FINDING GATEWAY STREAM-SEQ[-TO]: KIND: words
//
// KIND is altered, missing, duplicate, disorder, seal, forked, rolled-back, time, unproven
// or unsealed. The last line is "audit: intact" or "audit: N findings". It says everything
// in Indonesian where the locale is Indonesian, but for these words.
//
// The exit status is 0 if all holds, 1 if not, and 2 if that cannot be told: audit was
// called wrongly, a file or key cannot be read, or there is no event at all.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"presence/scripts/city/internal/chain"
	"presence/scripts/city/internal/locale"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, locale.Indonesian(os.Getenv))) }

// run is the command; it returns the exit status.
func run(args []string, in io.Reader, out, errs io.Writer, indonesian bool) int {
	flags := flag.NewFlagSet("audit", flag.ContinueOnError)
	flags.SetOutput(errs)
	keys := flags.String("keys", "", "folder with the gateways' public keys, GATEWAY.pem each")
	captured := flags.Bool("captured", false, "the files hold messages as a broker delivered them: in any order, some twice")
	head := flags.String("head", "", "`STREAM-SEQ:LINK` of an event that the chain has to reach")
	flags.Usage = func() {
		fmt.Fprintln(errs, "usage: audit -keys DIR [flags] FILE... (- is standard input)")
		flags.PrintDefaults()
	}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if *keys == "" || flags.NArg() == 0 {
		flags.Usage()
		return 2
	}
	findings, err := audit(*keys, *head, chain.Options{Captured: *captured, Indonesian: indonesian}, flags.Args(), in, out)
	switch {
	case err != nil:
		fmt.Fprintln(errs, "audit:", err)
		return 2
	case findings > 0:
		return 1
	}
	return 0
}

// audit reads all files, and prints what holds and what does not.
func audit(keys, head string, opt chain.Options, files []string, in io.Reader, out io.Writer) (findings int, err error) {
	if opt.Keys, err = chain.OpenKeys(keys); err != nil {
		return 0, err
	}
	if head != "" {
		if opt.Head, err = chain.ParseHead(head); err != nil {
			return 0, err
		}
	}
	a := chain.New(opt)
	defer a.Close()
	for _, file := range files {
		if err := a.Read(file, in); err != nil {
			return 0, err
		}
	}
	w := bufio.NewWriter(out)
	findings, err = a.Check(chain.NewReport(w))
	if failed := w.Flush(); failed != nil && err == nil {
		err = fmt.Errorf("print: %w", failed)
	}
	return findings, err
}
