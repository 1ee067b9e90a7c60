package doctor_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// impatient is a web server that answers as soon as it sees that something is no HTTP,
// as nginx does; Go's waits for a whole header.
func impatient(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := c.Read(make([]byte, 100)); err == nil {
				fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// TestProxiesAndWebServersAreNamedApartFromTheBroker, with who has to do something, and
// a command that shows it.
func TestProxiesAndWebServersAreNamedApartFromTheBroker(t *testing.T) {
	broker := brokertest.Start(t)
	_, web := brokertest.StartWebSocket(t, nil)
	gone := brokertest.Nobody(t)
	answers := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	proxy, page := brokertest.StartProxy(t).Address, answers(http.StatusOK)
	for name, tc := range map[string]struct{ broker, proxy, en, id, command string }{
		"websocket":            {"ws://" + web + "/mqtt", "", "", "", ""},
		"through a proxy":      {broker.URL(), proxy, "", "", ""},
		"both":                 {"ws://" + web + "/mqtt", proxy, "", "", ""},
		"no proxy there":       {broker.URL(), gone.Address(), "the proxy " + gone.Address() + " cannot be reached", "proksi", "nc -vz -w 5 127.0.0.1 "},
		"proxy wants a name":   {broker.URL(), answers(407), "wants a user name and a password (407)", "meminta nama pengguna", "curl -sv -o /dev/null -x http://"},
		"proxy forbids":        {broker.URL(), answers(403), "has to allow CONNECT", "harus mengizinkan CONNECT", "curl"},
		"proxy reaches nobody": {gone.URL(), proxy, "cannot reach " + gone.Address() + " (502)", "tidak dapat mencapai", "curl"},
		"no proxy but MQTT":    {broker.URL(), broker.Address(), "is no HTTP proxy", "bukan proksi HTTP", "curl"},
		"nothing at the path":  {"ws://" + answers(404) + "/mqtt", "", "no broker at this path (404)", "tidak ada broker di jalur ini", "sudoedit /etc/gatewayd/gatewayd.toml"},
		"broker behind is away": {
			"ws://" + answers(502) + "/mqtt", "", "cannot reach its broker (502)", "tidak dapat mencapai brokernya",
			"curl -sv -o /dev/null --max-time 10 --http1.1",
		},
		"a page":           {"ws://" + page + "/", "", "takes no MQTT over WebSocket", "tidak menerima MQTT melalui WebSocket", "curl"},
		"a web for broker": {"tcp://" + impatient(t), "", "a web server and no MQTT broker", "bukan broker MQTT", "sudoedit"},
		"a web that waits": {"tcp://" + page, "", "does not answer in MQTT", "tidak menjawab dalam MQTT", "sudoedit"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, "tcp://127.0.0.1")
			m := &o.opt.Config.MQTT
			text := "\n[gateway]\nid=\"dinkes-01\"\ndinas=\"dinkes\"\n[[reader]]\nname=\"door\"\nbus=\"sim\"\n[badges]\nplain_uid=true\n[mqtt]\ninsecure = true\nbroker = \"" + tc.broker + "\"\nproxy = \"\"\n"
			if tc.proxy != "" {
				text = strings.Replace(text, `proxy = ""`, `proxy = "http://`+tc.proxy+`"`, 1)
			}
			*m = o.parse(text).MQTT
			line := configured.Line(o.opt.Config)
			line.Log, line.Limits.Connect = slog.New(slog.DiscardHandler), time.Second
			o.opt.Try = func(ctx context.Context, reach bool) uplink.Probe { return uplink.Try(ctx, line, reach) }
			got := o.unsound()
			if tc.en == "" {
				if len(got) > 0 {
					t.Errorf("got %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Code != "broker" || got[0].Level != doctor.Fail {
				t.Fatalf("got %+v", got)
			}
			if !strings.Contains(got[0].EN, tc.en) || !strings.Contains(got[0].ID, tc.id) || !strings.HasPrefix(got[0].Mend+got[0].Look, tc.command) {
				t.Errorf("got %+v", got[0])
			}
		})
	}
}

// TestAProxyThatOpensTLSIsNamed, where another authority's certificate is no broker's.
func TestAProxyThatOpensTLSIsNamed(t *testing.T) {
	ca, other := brokertest.NewCA(t), brokertest.NewCA(t)
	_, address := brokertest.StartTLS(t, other, time.Now().Add(time.Hour))
	for _, proxy := range []string{"", brokertest.StartProxy(t).Address} {
		o := newOffice(t, "tls://"+address)
		o.opt.Config.MQTT.Proxy = proxy
		line := configured.Line(o.opt.Config)
		line.CAFile, line.Log = ca.File, slog.New(slog.DiscardHandler)
		o.opt.Try = func(ctx context.Context, reach bool) uplink.Probe { return uplink.Try(ctx, line, reach) }
		got := o.unsound()
		if len(got) != 1 || strings.Contains(got[0].EN, "if the proxy opens TLS") != (proxy != "") || strings.Contains(got[0].ID, "proksi") != (proxy != "") ||
			strings.Contains(got[0].Look, " -proxy ") != (proxy != "") || !strings.HasPrefix(got[0].Look, "openssl s_client") {
			t.Errorf("with the proxy %q: %+v", proxy, got)
		}
	}
}
