// Command prove checks what taps with badges that prove themselves were worth, long
// afterwards:
//
//	prove -ca badge-ca.pem -certificates badge-certificates [-revoked badge-revoked.json] [-badge-key badge.key] FILE...
//
// FILEs (or - for standard input) hold events, a JSON object a line: of a gateway (gatewayd
// export --format jsonl), of the broker (with or without the topic in front, see unbatch), or
// of the city's database (presence.evidence).
// Each tap that says authenticated-piv has to carry a signature of a badge whose certificate
// is known, of the badge authority, valid at that time and not revoked before, over the
// number that is made of this gateway, stream and time; and no signature serves for two
// taps. With the city's badge key it is compared, too, that the badge in the event is that
// of the certificate. Each event that does not hold is named with the reason, and so is
// each whose time is not known well enough to compare it with the certificate's.
//
// The exit status is 0 if all hold, 1 if one does not or a line is no event, and 2 if prove
// was called wrongly. The last line counts: taps with authenticated-desfire were proven to
// the gateway only, and uid counts those that prove nothing.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"presence/scripts/city"
	"presence/scripts/city/internal/evidence"
	"presence/scripts/city/internal/pivbadge"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// errDoesNotHold means that what does not hold was named already.
var errDoesNotHold = errors.New("not all holds")

// run is the command; it returns the exit status.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	flags := flag.NewFlagSet("prove", flag.ContinueOnError)
	flags.SetOutput(errs)
	ca := flags.String("ca", "", "file with the certificates of the badge authority (PEM)")
	revoked := flags.String("revoked", "", "file with the list of revoked badges: badge-revoked.json, or the signed document")
	badgeKey := flags.String("badge-key", "", "file with the city's badge key, to compare badges with certificates")
	var certificates []string
	flags.Func("certificates", "file or folder with certificates of badges; may stand more than once", func(s string) error {
		certificates = append(certificates, s)
		return nil
	})
	flags.Usage = func() {
		fmt.Fprintln(errs, "usage: prove -ca FILE [flags] FILE... (- is standard input)")
		flags.PrintDefaults()
	}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if *ca == "" || flags.NArg() == 0 {
		flags.Usage()
		return 2
	}
	checker, err := newChecker(*ca, certificates, *revoked, *badgeKey)
	if err != nil {
		fmt.Fprintln(errs, "prove:", err)
		return 2
	}
	w := bufio.NewWriter(out)
	err = checkFiles(checker, flags.Args(), in, w)
	if err == nil || errors.Is(err, errDoesNotHold) {
		err = errors.Join(err, printCounts(checker.Counts, w))
	}
	if failed := w.Flush(); failed != nil && err == nil {
		err = fmt.Errorf("print: %w", failed)
	}
	if err != nil {
		if !errors.Is(err, errDoesNotHold) {
			fmt.Fprintln(errs, "prove:", err)
		}
		return 1
	}
	return 0
}

func newChecker(ca string, certificates []string, revokedFile, keyFile string) (*evidence.Checker, error) {
	authority, err := pivbadge.ReadAuthority(ca)
	if err != nil {
		return nil, err
	}
	for _, path := range certificates {
		if err := authority.Add(path); err != nil {
			return nil, err
		}
	}
	var revoked []pivbadge.Revocation
	if revokedFile != "" {
		text, err := os.ReadFile(revokedFile)
		if err != nil {
			return nil, fmt.Errorf("read revoked badges: %w", err)
		}
		if revoked, err = pivbadge.ParseRevoked(text); err != nil {
			return nil, err
		}
	}
	var key *[32]byte
	if keyFile != "" {
		read, err := city.ReadBadgeKey(keyFile)
		if err != nil {
			return nil, err
		}
		key = &read
	}
	return evidence.NewChecker(authority, revoked, key), nil
}

// checkFiles checks all files, and names what does not hold.
func checkFiles(c *evidence.Checker, files []string, in io.Reader, w *bufio.Writer) error {
	for _, file := range files {
		if err := checkFile(c, file, in, w); err != nil {
			return err
		}
	}
	if c.Counts.Failed > 0 {
		return errDoesNotHold
	}
	return nil
}

func checkFile(c *evidence.Checker, file string, in io.Reader, w *bufio.Writer) error {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewReaderSize(in, maxLine)
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of it
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read events: %w", err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			finding := evidence.Finding{Fails: true, Why: "no event: a longer line than any has"}
			if tooLong {
				c.Counts.Failed++
			} else {
				finding = c.Check(line)
			}
			printFinding(finding, file, number, w)
		}
		if err != nil {
			return nil
		}
	}
}

// maxLine is the longest line that is read: longer than any event of a gateway.
const maxLine = 1 << 20

func printFinding(f evidence.Finding, file string, line int, w *bufio.Writer) {
	if f.Why == "" {
		return
	}
	if f.ID == "" {
		f.ID = fmt.Sprintf("%s:%d", file, line)
	}
	fmt.Fprintf(w, "%s: %s\n", f.ID, f.Why)
}

func printCounts(n evidence.Counts, w *bufio.Writer) error {
	if n.Unmatched > 0 {
		fmt.Fprintf(w, "prove: without -badge-key, %d badges were not compared with their certificates\n", n.Unmatched)
	}
	_, err := fmt.Fprintf(w, "prove: events=%d hold=%d undecided=%d failed=%d desfire=%d uid=%d\n",
		n.Events, n.Hold, n.Undecided, n.Failed, n.Desfire, n.Plain)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
