// Command badgedocs writes what the city tells gateways about badges that prove themselves,
// for sign.sh to sign:
//
//	badgedocs revoked [-key badge.key -gateway dinkes-01] badge-revoked.json
//
// checks the list of revoked badges that ca.sh keeps, and prints it as the body of a
// document. With the city's badge key, UIDs in it become the identities that they have at
// that gateway.
//
//	badgedocs keys -dinas dinkes -gateway dinkes-01 -serial 1764380000 -certificate issued/dinkes-01.pem -master badge-master.key staff/dinkes-01.csv
//
// prints the keys of an office's DESFire and NTAG 424 badges, sealed to its gateway. The
// file -master holds the application master key, 32 hex digits, and is for its owner only
// (chmod 600). It is what all badges can be copied with: a hardware security module that
// makes the diversified keys is better, and those come from a list then, -keys KEYS.csv
// with the columns uid or number, key and key_no. The staff's list has uid, or the number
// of a card with a random UID, and card (desfire or ntag424).
package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"

	"presence/drivers/desfire"
	"presence/scripts/city"
	"presence/scripts/city/internal/badgekeys"
	"presence/scripts/city/internal/pivbadge"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// errUsage means that the command was called wrongly, which was said already.
var errUsage = errors.New("wrong usage")

// run is the command; it returns the exit status.
func run(args []string, out, errs io.Writer) int {
	err := errUsage
	switch {
	case len(args) > 0 && args[0] == "revoked":
		err = revoked(args[1:], out, errs)
	case len(args) > 0 && args[0] == "keys":
		err = keys(args[1:], out, errs)
	default:
		fmt.Fprintln(errs, "usage: badgedocs revoked [flags] LIST.json | badgedocs keys [flags] STAFF.csv")
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintln(errs, "badgedocs:", err)
	return 1
}

// parse parses the flags, and makes sure that one file is named.
func parse(flags *flag.FlagSet, args []string, errs io.Writer) (file string, err error) {
	flags.SetOutput(errs)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return "", err
		}
		return "", errUsage
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return "", errUsage
	}
	return flags.Arg(0), nil
}

func revoked(args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("badgedocs revoked", flag.ContinueOnError)
	keyFile := flags.String("key", "", "file with the city's badge key: UIDs become identities")
	gateway := flags.String("gateway", "", "id of the gateway whose identities those are")
	file, err := parse(flags, args, errs)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read revoked badges: %w", err)
	}
	list, err := pivbadge.ParseRevoked(text)
	if err != nil {
		return err
	}
	var own *[32]byte
	if *keyFile != "" {
		key, err := city.ReadBadgeKey(*keyFile)
		if err != nil {
			return err
		}
		if !isName(*gateway) {
			return fmt.Errorf("%q is no gateway's id: identities are those at one gateway", *gateway)
		}
		key = city.GatewayBadgeKey(key, *gateway)
		own = &key
	}
	body, err := pivbadge.FormatRevoked(list, own)
	if err != nil {
		return err
	}
	return write(out, body)
}

func isName(s string) bool { return regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(s) }

// order is what keys is asked for.
type order struct {
	document                  badgekeys.Document
	certificate, master, list string // files
	application               string
	keyNo                     int
	staff                     string // file
}

func keys(args []string, out, errs io.Writer) error {
	var o order
	var err error
	flags := flag.NewFlagSet("badgedocs keys", flag.ContinueOnError)
	flags.StringVar(&o.document.Dinas, "dinas", "", "department of the gateway")
	flags.StringVar(&o.document.Gateway, "gateway", "", "id of the gateway")
	flags.Uint64Var(&o.document.Serial, "serial", 0, "serial that the document will have")
	flags.StringVar(&o.certificate, "certificate", "", "file with the gateway's certificate")
	flags.StringVar(&o.master, "master", "", "file with the application master key")
	flags.StringVar(&o.list, "keys", "", "CSV of cards with their keys, instead of a master key")
	flags.StringVar(&o.application, "application", "F54230", "id of the DESFire application, most significant byte first")
	flags.IntVar(&o.keyNo, "key-no", 1, "number of the key, where the list does not say another")
	if o.staff, err = parse(flags, args, errs); err != nil {
		return err
	}
	if !isName(o.document.Dinas) || !isName(o.document.Gateway) || o.document.Serial == 0 || o.certificate == "" || (o.master == "") == (o.list == "") {
		fmt.Fprintln(errs, "badgedocs keys: want -dinas, -gateway, -serial, -certificate, and one of -master and -keys")
		return errUsage
	}
	body, err := o.body()
	if err != nil {
		return err
	}
	return write(out, body)
}

// body makes what sign.sh makes a document of.
func (o order) body() ([]byte, error) {
	app, err := desfire.ParseAID(o.application)
	if err != nil {
		return nil, fmt.Errorf("%q is no application: 6 hex digits", o.application)
	}
	if o.keyNo < 0 || o.keyNo > badgekeys.MaxKeyNo {
		return nil, fmt.Errorf("-key-no: from 0 to %d", badgekeys.MaxKeyNo)
	}
	certificate, err := readCertificate(o.certificate)
	if err != nil {
		return nil, err
	}
	staff, err := readCards(o.staff)
	if err != nil {
		return nil, err
	}
	source, err := o.source(app)
	if err != nil {
		return nil, err
	}
	entries, err := badgekeys.Entries(staff, source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.staff, err)
	}
	sealed, err := badgekeys.Seal(o.document, certificate, badgekeys.Keys{V: 1, Application: app.String(), Entries: entries})
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(struct {
		badgekeys.Document
		Sealed badgekeys.Sealed `json:"sealed"`
	}{o.document, sealed})
	if err != nil {
		return nil, fmt.Errorf("write keys: %w", err)
	}
	return body, nil
}

func (o order) source(app desfire.AID) (badgekeys.Source, error) {
	if o.master == "" {
		list, err := readSecretCards(o.list)
		if err != nil {
			return nil, err
		}
		return badgekeys.FromList(list, o.keyNo)
	}
	if err := ownerOnly(o.master); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(o.master)
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	master, err := badgekeys.ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("read master key: %s is %w", o.master, err)
	}
	return badgekeys.FromMaster(master, app, o.keyNo), nil
}

// ownerOnly refuses a file with keys that others can read.
func ownerOnly(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("read keys: others can read %s: chmod 600 %s", file, file)
	}
	return nil
}

func readSecretCards(file string) ([]badgekeys.Card, error) {
	if err := ownerOnly(file); err != nil {
		return nil, err
	}
	return readCards(file)
}

func readCards(file string) ([]badgekeys.Card, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read cards: %w", err)
	}
	return badgekeys.ParseCards(file, text)
}

func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("read certificate: %s is none in PEM", file)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %s: %w", file, err)
	}
	return certificate, nil
}

func write(out io.Writer, body []byte) error {
	if _, err := out.Write(append(body, '\n')); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
