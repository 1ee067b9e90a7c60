// Command ask sends a gateway a command, waits for the reply and prints it:
//
//	ask -broker tls://mqtt.example.go.id:8883 -ca city-ca.pem -cert admin.pem -key admin.key dinkes/dinkes-01 ping
//	ask ... dinkes/dinkes-01 resync '{"stream":"..."}'
//
// It makes what a command needs beside its name: the id under which it runs once (tx)
// and the time at which it expires, which is when ask stops waiting. The certificate of
// "admin" may send commands (see gatewayd.acl); where certificates are client ids, two
// programs with one certificate throw each other off.
//
// The result is printed as JSON. The exit status is 0 if the gateway did it, 1 if it
// refused or did not answer, 2 if ask was called wrongly.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"presence/scripts/city"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the command; it returns the exit status.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("ask", flag.ContinueOnError)
	flags.SetOutput(errs)
	broker := flags.String("broker", "", "the broker, tls://host:8883, or all of them with commas between")
	ca := flags.String("ca", "", "file with the broker's CA certificate; the system's if empty")
	cert := flags.String("cert", "", "file with the certificate that may send commands, that of admin")
	key := flags.String("key", "", "file with the key of it")
	wait := flags.Duration("wait", 15*time.Second, "how long to wait for the reply, at most 1h")
	flags.Usage = func() {
		fmt.Fprintln(errs, "usage: ask [flags] DINAS/GATEWAY COMMAND [ARGS as JSON]")
		flags.PrintDefaults()
	}
	words, err := parse(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	q, err := question(words, *wait)
	if err == nil && *broker == "" {
		err = errors.New("-broker is missing: write tls://host:port")
	}
	if err == nil {
		q.Broker = *broker
		q.TLS, err = city.TLSConfig(*ca, *cert, *key)
	}
	if err != nil {
		fmt.Fprintln(errs, "ask:", err)
		return 2
	}
	result, err := q.Ask(ctx)
	if err != nil {
		fmt.Fprintln(errs, "ask:", err)
		return 1
	}
	var text bytes.Buffer
	if json.Indent(&text, result, "", "  ") != nil {
		text.Reset()
		text.Write(result)
	}
	if _, err := fmt.Fprintln(out, text.String()); err != nil {
		fmt.Fprintln(errs, "ask: print reply:", err)
		return 1
	}
	return 0
}

// parse reads flags also behind the words.
func parse(flags *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if args = flags.Args(); len(args) == 0 {
			return words, nil
		}
		words, args = append(words, args[0]), args[1:]
	}
}

// question makes a command of the words of the command line.
func question(words []string, wait time.Duration) (q city.Question, err error) {
	if len(words) < 2 || len(words) > 3 {
		return q, errors.New("want DINAS/GATEWAY COMMAND [ARGS], such as dinkes/dinkes-01 ping")
	}
	q.Dinas, q.Gateway, _ = strings.Cut(words[0], "/")
	id := regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	if !id.MatchString(q.Dinas) || !id.MatchString(q.Gateway) {
		return q, fmt.Errorf("%q: want department and gateway, such as dinkes/dinkes-01", words[0])
	}
	// A name with a wildcard or a slash would be another topic.
	if q.Name = words[1]; !id.MatchString(q.Name) {
		return q, fmt.Errorf("%q is no command: ping, report, identify, resync", q.Name)
	}
	if len(words) == 3 {
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(words[2]), &object); err != nil || object == nil {
			return q, fmt.Errorf(`%q: want a JSON object, such as '{"stream":"..."}'`, words[2])
		}
		q.Args = json.RawMessage(words[2])
	}
	if q.Wait = wait; wait < time.Second || wait > time.Hour {
		return q, fmt.Errorf("-wait %s: want 1s to 1h", wait)
	}
	return q, nil
}
