// Command simfleet is a city's worth of gateways for trying a broker, a recorder and a
// database under load. It says at the end what it made, what the city has confirmed, and
// how long that took:
//
//	simfleet -broker tcp://127.0.0.1:1883 -gateways 500 -waiting 400
//	simfleet -broker tcp://127.0.0.1:1883 -gateways 2000 -morning 90s
//	simfleet -broker tcp://127.0.0.1:1883 -real 20 -gatewayd bin/gatewayd -waiting 100
//
// The first two run light gateways, which behave as real ones do and of which thousands
// fit in one process. With -real it starts real daemons with simulated hardware. The exit
// status is 0 if everything is confirmed, 1 if not, and 2 if it was called wrongly.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"presence/scripts/city/internal/lightfleet"
	"presence/scripts/city/internal/lightgateway"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "simfleet:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "simfleet:", err)
		os.Exit(1)
	}
}

// usageError means that the command was called wrongly.
type usageError struct{ error }

// options is the command line.
type options struct {
	brokers   string
	gateways  int
	waiting   int
	morning   time.Duration
	speed     float64
	ramp      time.Duration
	receipts  bool
	batch     bool
	window    int
	outages   float64
	outageFor time.Duration
	storm     time.Duration
	wait      time.Duration
	seed      uint64
	ca, certs string
	cityKey   string
	daemons   int
	gatewayd  string
	idle      time.Duration
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("simfleet", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.brokers, "broker", "tcp://127.0.0.1:1883", "tcp:// or tls://`host:port`; several with commas: each gateway begins with another one and takes the next where that fails")
	fs.IntVar(&o.gateways, "gateways", 500, "how many light gateways")
	fs.IntVar(&o.waiting, "waiting", 0, "events that wait at each gateway before it connects")
	fs.DurationVar(&o.morning, "morning", 0, "for how long people come to work: 60 an office within ten minutes, and 40 tags every 30 s")
	fs.Float64Var(&o.speed, "speed", 1, "how much faster than life the morning goes")
	fs.DurationVar(&o.ramp, "ramp", 0, "time over which the gateways connect for the first time")
	fs.BoolVar(&o.receipts, "receipts", true, "an event counts as delivered at the city's receipt, not at the broker's PUBACK")
	fs.BoolVar(&o.batch, "batch", false, "events that wait together travel in one message")
	fs.IntVar(&o.window, "window", 0, "events in flight; 0: as the real gateway")
	fs.Float64Var(&o.outages, "outages", 0, "share of the gateways whose line is cut once in the morning")
	fs.DurationVar(&o.outageFor, "outage-for", 20*time.Second, "for how long")
	fs.DurationVar(&o.storm, "storm", 0, "cut all lines at once this often; 0: never")
	fs.DurationVar(&o.wait, "wait", 2*time.Minute, "how long to wait for the city's last confirmation")
	fs.Uint64Var(&o.seed, "seed", 1, "of all that is left to chance")
	fs.StringVar(&o.ca, "ca", "", "the authority's certificate, for tls://")
	fs.StringVar(&o.certs, "certs", "", "folder with GATEWAY.pem and GATEWAY.key of each gateway (sim-0001 and so on), for tls://")
	fs.StringVar(&o.cityKey, "city-key", "", "the city's public key (PEM): receipts count only signed")
	fs.IntVar(&o.daemons, "real", 0, "start so many real gateways with simulated readers in place of light ones; -waiting is how many taps each records")
	fs.StringVar(&o.gatewayd, "gatewayd", "bin/gatewayd", "the program of real gateways")
	fs.DurationVar(&o.idle, "idle", 20*time.Second, "for how long real gateways are watched while nothing happens")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, usageError{err}
	}
	switch {
	case fs.NArg() > 0:
		return o, usageError{fmt.Errorf("unknown argument %q", fs.Arg(0))}
	case o.gateways < 1 || o.waiting < 0 || o.speed <= 0:
		return o, usageError{errors.New("want at least one gateway, no negative number, and a speed above 0")}
	}
	return o, nil
}

// fleet makes the fleet that the command line asks for.
func (o *options) fleet() (*lightfleet.Fleet, error) {
	opt := lightfleet.Options{Gateways: o.gateways, Seed: o.seed}
	opt.Gateway = lightgateway.Options{Receipts: o.receipts, Window: o.window}
	secure := false
	for broker := range strings.SplitSeq(o.brokers, ",") {
		address, isTLS := strings.CutPrefix(broker, "tls://")
		if !isTLS {
			var ok bool
			if address, ok = strings.CutPrefix(broker, "tcp://"); !ok {
				return nil, usageError{fmt.Errorf("broker %q: want tcp:// or tls://", broker)}
			}
		}
		secure = secure || isTLS
		opt.Gateway.Brokers = append(opt.Gateway.Brokers, address)
	}
	if o.batch {
		var err error
		if opt.Gateway.Batches, err = lightgateway.NewPacker(); err != nil {
			return nil, err
		}
	}
	if o.cityKey != "" {
		var err error
		if opt.Gateway.CityKey, err = readPublicKey(o.cityKey); err != nil {
			return nil, err
		}
	}
	var authority *x509.CertPool
	if secure {
		var err error
		if authority, err = readAuthority(o.ca); err != nil {
			return nil, err
		}
	}
	turn := 0
	opt.Configure = func(g *lightgateway.Options) error {
		g.Brokers = append(append([]string(nil), g.Brokers[turn%len(g.Brokers):]...), g.Brokers[:turn%len(g.Brokers)]...)
		turn++
		if !secure {
			return nil
		}
		g.TLS = &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12}
		if o.certs == "" {
			return nil
		}
		pair, err := tls.LoadX509KeyPair(filepath.Join(o.certs, g.Gateway+".pem"), filepath.Join(o.certs, g.Gateway+".key"))
		g.TLS.Certificates = []tls.Certificate{pair}
		return err
	}
	return lightfleet.New(opt)
}

// run does what the command line asks for.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if o.daemons > 0 {
		return o.runReal(ctx, out)
	}
	fleet, err := o.fleet()
	if err != nil {
		return err
	}
	fleet.Record(o.waiting)
	made := fleet.Totals().Events
	began := time.Now()
	fmt.Fprintf(out, "simfleet: %d gateways, %d events waiting\n", fleet.Len(), made)
	fleet.Start(ctx, o.ramp)
	o.live(ctx, fleet)
	waiting, cancel := context.WithTimeout(ctx, o.wait)
	defer cancel()
	all := fleet.AwaitConfirmed(waiting)
	took := time.Since(began)
	t := fleet.Totals()
	fleet.Stop()
	fmt.Fprintf(out, "simfleet: gateways=%d made=%d pairs=%d confirmed=%d unconfirmed=%d published=%d connects=%d receipts=%d refused=%d seconds=%.1f per_s=%.0f p50=%v p99=%v max=%v\n",
		fleet.Len(), t.Events, t.Pairs, t.Confirmed, t.Waiting(), t.Published, t.Connects, t.Receipts, t.Refused,
		took.Seconds(), float64(t.Confirmed)/took.Seconds(),
		t.Latencies.Quantile(0.5).Round(time.Millisecond), t.Latencies.Quantile(0.99).Round(time.Millisecond), t.Latencies.Max().Round(time.Millisecond))
	if !all {
		return fmt.Errorf("%d events of %d gateways are not confirmed (%s)", t.Waiting(), t.Unfinished, t.LastError)
	}
	return nil
}

// live has the morning happen, with its outages.
func (o *options) live(ctx context.Context, fleet *lightfleet.Fleet) {
	if o.morning == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, o.morning)
	defer cancel()
	trouble := make(chan struct{})
	go func() {
		defer close(trouble)
		o.trouble(ctx, fleet)
	}()
	fleet.Live(ctx, lightfleet.Peak().Faster(o.speed))
	<-trouble
}

// trouble cuts lines until the context ends.
func (o *options) trouble(ctx context.Context, fleet *lightfleet.Fleet) {
	var storm, outage <-chan time.Time
	if o.storm > 0 {
		tick := time.NewTicker(o.storm)
		defer tick.Stop()
		storm = tick.C
	}
	if o.outages > 0 {
		outage = time.After(o.morning / 3)
	}
	for {
		select {
		case <-storm:
			fleet.Cut(1, 0)
		case <-outage:
			fleet.Cut(o.outages, o.outageFor)
		case <-ctx.Done():
			return
		}
	}
}

func readAuthority(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, usageError{errors.New("tls:// needs -ca")}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

func readPublicKey(file string) (ed25519.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", file)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", file)
	}
	return public, nil
}
