// Command cityclock answers gateways that ask for the time where NTP is blocked.
// It runs on the city's side, on a machine whose own clock is disciplined, and
// takes part in nothing else. It shows the certificate of "clock" (ca.sh client
// clock), which may read the questions and write the answers: see gatewayd.acl.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"presence/scripts/city"
)

func main() {
	broker := flag.String("broker", "", "the broker, tls://host:8883")
	ca := flag.String("ca", "", "file with the broker's CA certificate; the system's if empty")
	cert := flag.String("cert", "", "file with this machine's certificate")
	key := flag.String("key", "", "file with the key of it")
	sign := flag.String("sign", "", "file with the city's key (Ed25519, PEM) to sign with: gateways that have city.key_file believe nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *broker, *ca, *cert, *key, *sign)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cityclock:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, broker, ca, cert, key, sign string) error {
	if !strings.HasPrefix(broker, "tls://") {
		return fmt.Errorf("-broker %q: want tls://host:port, gateways believe no other line", broker)
	}
	config, err := city.TLSConfig(ca, cert, key)
	if err != nil {
		return err
	}
	signer, err := city.ReadKey(sign)
	if err != nil {
		return err
	}
	return city.Responder{
		Broker: broker, TLS: config, Now: time.Now, Key: signer,
		Report: func(what string) { fmt.Fprintln(os.Stderr, "cityclock:", what) },
	}.Run(ctx)
}
