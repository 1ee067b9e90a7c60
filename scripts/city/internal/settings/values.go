package settings

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// reader makes settings of a file and collects what is wrong with it.
type reader struct {
	file     string
	lines    map[string]int
	problems Problems
}

// wrong adds a problem of a key. A key that is not there has the line of its table.
func (r *reader) wrong(key, format string, args ...any) {
	line, there := r.lines[key]
	if table, _, ok := cut(key); !there && ok {
		line = r.lines[table]
	}
	r.problems = append(r.problems, Problem{r.file, line, display(key), fmt.Sprintf(format, args...)})
}

// cut parts a key from its table.
func cut(key string) (table, name string, ok bool) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key, false
	}
	return key[:i], key[i+1:], true
}

// display is a key as people know it: without the number of its table.
func display(key string) string {
	parts := strings.Split(key, ".")
	if len(parts) == 3 {
		return parts[0] + "." + parts[2]
	}
	return key
}

// maxBrokers is how many brokers there may be.
const maxBrokers = 16

func (r *reader) settings(f *file) *Settings {
	s := &Settings{
		Database: Database{
			Connection:   r.required("database.connection", f.Database.Connection, `such as "host=/var/run/postgresql dbname=presence user=gatewayd-recorder"`),
			PasswordFile: or(f.Database.PasswordFile, ""),
		},
		Receipts: Receipts{Send: or(f.Receipts.Send, true), KeyFile: or(f.Receipts.KeyFile, "")},
		Events: Events{
			Batch:      r.whole("events.batch", f.Events.Batch, 5000, 1, 20_000),
			BatchWait:  r.duration("events.batch_wait", f.Events.BatchWait, 20*time.Millisecond, 0, 5*time.Second),
			QueueBytes: r.whole("events.queue_mb", f.Events.QueueMB, 64, 1, 4096) << 20,
			TagDetails: or(f.Events.TagDetails, false),
		},
		Resync: Resync{
			After:  r.duration("resync.after", f.Resync.After, 2*time.Minute, 0, 24*time.Hour),
			AtMost: r.whole("resync.at_most", f.Resync.AtMost, 30, 1, 1000),
		},
		Watch: Watch{Listen: or(f.Watch.Listen, "127.0.0.1:9117")},
	}
	if s.Resync.After > 0 && s.Resync.After < 10*time.Second {
		r.wrong("resync.after", `is %s: want 10s to 24h, or "0s" for never`, s.Resync.After)
	}
	if s.Watch.Listen != "" && !loopback(s.Watch.Listen) {
		r.wrong("watch.listen", `is %q: want a loopback address with a port, such as "127.0.0.1:9117": nobody is asked for a password there`, s.Watch.Listen)
	}
	if len(f.Broker) == 0 || len(f.Broker) > maxBrokers {
		r.wrong("broker", "is there %d times: write [[broker]] 1 to %d times", len(f.Broker), maxBrokers)
	}
	urls := make(map[string]bool)
	for i := range f.Broker {
		b := r.broker(fmt.Sprintf("broker.%d", i), &f.Broker[i])
		if urls[b.URL] && b.URL != "" {
			r.wrong(fmt.Sprintf("broker.%d.url", i), "is there twice: two sessions with one name would throw each other off")
		}
		urls[b.URL] = true
		s.Brokers = append(s.Brokers, b)
	}
	return s
}

func (r *reader) broker(table string, t *brokerTable) Broker {
	b := Broker{
		URL:      r.required(table+".url", t.URL, `such as "tls://mqtt.example.go.id:8883"`),
		ClientID: or(t.ClientID, "recorder"),
		CAFile:   or(t.CAFile, ""), CertFile: or(t.CertFile, ""), KeyFile: or(t.KeyFile, ""),
		Username: or(t.Username, ""), PasswordFile: or(t.PasswordFile, ""),
	}
	// MQTT 3.1.1 makes brokers take names of up to 23 such characters; all take more.
	if b.ClientID == "" || len(b.ClientID) > 64 || strings.ContainsFunc(b.ClientID, func(c rune) bool { return c <= ' ' || c > '~' }) {
		r.wrong(table+".client_id", "is %q: want 1 to 64 letters, digits and signs, without a space", b.ClientID)
	}
	if b.URL != "" {
		r.brokerURL(table+".url", b.URL, or(t.Insecure, false))
	}
	if (b.CertFile == "") != (b.KeyFile == "") {
		r.wrong(table+".cert_file", "and key_file go together: write both or none")
	}
	if b.PasswordFile != "" && b.Username == "" {
		r.wrong(table+".password_file", "has no username beside it")
	}
	return b
}

func (r *reader) brokerURL(key, text string, insecure bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		r.wrong(key, `is no address of a broker: write such as "tls://mqtt.example.go.id:8883", without a user or a password in it`)
		return
	}
	switch u.Scheme {
	case "tls", "wss":
	case "tcp", "ws":
		if !insecure && !loopback(u.Host) {
			r.wrong(key, "goes over the network without encryption: write tls://, or insecure = true if you accept that anybody on the way can read and invent everything")
		}
	default:
		r.wrong(key, "has the scheme %q: only tls://, wss://, tcp:// and ws:// are possible", u.Scheme)
	}
	if (u.Scheme == "tls" || u.Scheme == "tcp") && (u.Path != "" || u.Port() == "") {
		r.wrong(key, `is %q: want host and port and nothing behind them, such as "tls://mqtt.example.go.id:8883"`, text)
	}
}

// loopback reports whether host:port is on this machine.
func loopback(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func or[T any](v *T, usual T) T {
	if v == nil {
		return usual
	}
	return *v
}

func (r *reader) required(key string, v *string, example string) string {
	if v == nil || *v == "" {
		r.wrong(key, "is missing: write one, %s", example)
		return ""
	}
	return *v
}

func (r *reader) whole(key string, v *int64, usual, least, most int) int {
	if v == nil {
		return usual
	}
	if *v < int64(least) || *v > int64(most) {
		r.wrong(key, "is %d: want %d to %d", *v, least, most)
		return usual
	}
	return int(*v)
}

func (r *reader) duration(key string, v *string, usual, least, most time.Duration) time.Duration {
	if v == nil {
		return usual
	}
	d, err := time.ParseDuration(*v)
	if err != nil || d < least || d > most {
		r.wrong(key, "is %q: want a duration from %s to %s, such as %q", *v, least, most, usual)
		return usual
	}
	return d
}
