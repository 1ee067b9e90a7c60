package health_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/telegraftest"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/city"
	"presence/scripts/skiptest"
)

// telegrafPlugins are the parts of Telegraf that the city's configuration uses.
var telegrafPlugins = []string{
	"inputs.mqtt_consumer", "processors.enum", "parsers.json", "parsers.json_v2", "parsers.value",
	"outputs.file", "outputs.postgresql", "outputs.influxdb_v2", "serializers.influx",
}

// installTelegraf builds Telegraf. That takes minutes the first time, so it is
// asked for: by make telegraf-test, and where everything is tested.
func installTelegraf(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds Telegraf")
	}
	if os.Getenv("TELEGRAF_TEST") == "" {
		skiptest.Elsewhere(t, "a Telegraf", "make telegraf-test", "Telegraf takes minutes to build")
	}
	return telegraftest.Build(t, telegrafPlugins...)
}

// telegrafRun is a Telegraf with the city's configuration, but for where the broker is and
// where the metrics go: to a file, or to a database of the test.
type telegrafRun struct {
	t       *testing.T
	program string
	config  string
	metrics string // the file
	log     strings.Builder
	cmd     *exec.Cmd // nil while it does not run
}

func newTelegraf(t *testing.T, program, broker string) *telegrafRun {
	t.Helper()
	r := &telegrafRun{t: t, program: program, metrics: filepath.Join(t.TempDir(), "metrics")}
	r.configure(broker, func(conf string) string {
		conf, _, _ = strings.Cut(conf, "[[outputs.postgresql]]")
		return conf + fmt.Sprintf("[[outputs.file]]\nfiles = [%q]\n", r.metrics)
	})
	return r
}

// configure writes the configuration, with the outputs that a test wants.
func (r *telegrafRun) configure(broker string, output func(conf string) string) {
	r.t.Helper()
	text, err := os.ReadFile("../../../scripts/city/telegraf.conf")
	if err != nil {
		r.t.Fatal(err)
	}
	conf := regexp.MustCompile(`(?m)^  tls_.*\n`).ReplaceAllString(string(text), "")
	conf = output(strings.ReplaceAll(conf, "ssl://mqtt.example.go.id:8883", broker))
	conf += "[agent]\ninterval = \"1s\"\nflush_interval = \"200ms\"\nomit_hostname = true\n"
	r.config = filepath.Join(r.t.TempDir(), "telegraf.conf")
	if err := os.WriteFile(r.config, []byte(conf), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		r.stop()
		if r.t.Failed() {
			r.t.Logf("telegraf said:\n%s", r.log.String())
		}
	})
}

func (r *telegrafRun) start() {
	r.t.Helper()
	r.cmd = exec.Command(r.program, "--config", r.config)
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	if err := childtest.Start(r.cmd); err != nil {
		r.t.Fatal(err)
	}
}

// stop ends it as systemd would, and waits until it has ended.
func (r *telegrafRun) stop() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	_ = r.cmd.Wait() // of how it ended the log tells
	r.cmd = nil
}

// await waits for metrics, one line each, and returns all that there are then. Between two
// looks it calls again, if that is not nil.
func (r *telegrafRun) await(again func(), wants ...string) (metrics string) {
	r.t.Helper()
	for deadline := time.Now().Add(brokertest.Wait); ; <-time.After(200 * time.Millisecond) {
		if again != nil {
			again()
		}
		data, err := os.ReadFile(r.metrics)
		if err != nil && !os.IsNotExist(err) {
			r.t.Fatal(err)
		}
		metrics = string(data)
		missing := ""
		for _, want := range wants {
			if !regexp.MustCompile(`(?m)` + want).MatchString(metrics) {
				missing = want
			}
		}
		if missing == "" {
			return metrics
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no metric like %s in\n%s", missing, metrics)
		}
	}
}

// What the city's Telegraf makes of a gateway's messages is what the dashboard
// asks for.
func TestTelegrafReadsAGateway(t *testing.T) {
	program := installTelegraf(t)
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/#")

	temperature, at := 51.2, "2026-11-24T07:30:00.000+07:00"
	h := presence.Health{
		V: 1, Seq: 7, IntervalS: 60, Level: presence.LevelWarn, Time: &at, UptimeS: 3600, Boots: 3,
		Clock:     presence.ClockHealth{State: "synced", Quality: "synced"},
		Journal:   presence.JournalHealth{Pending: 12, OldestPendingS: 90, CommitMSP99: 8.5},
		MQTT:      presence.MQTTHealth{Connected: true},
		Readers:   []presence.ReaderHealth{{Name: "door", State: "ok", Taps: 41, Version: "92"}, {Name: "back", State: "deaf"}},
		Receivers: []presence.ReceiverHealth{{Name: "yard", State: "silent", Frames: 1234, Bad: map[string]int64{"checksum": 2}}},
		Roster:    presence.RosterHealth{Source: "none"},
		Hours:     presence.HoursHealth{Source: "file"},
		Pi:        presence.PiHealth{TempC: &temperature},
		Alerts:    []string{"clock-unsynced"},
	}
	document, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "presence/v1/dinkes/dinkes-01/"
	messages := []struct{ topic, payload string }{
		{"health", string(document)},
		{"status", `{"state":"online","session":"6ba7b810-9dad-41d1-80b4-00c04fd430c8","reason":"start","time":null}`},
		{"alert/clock-unsynced", `{"code":"clock-unsynced","level":"warn","since":"","id":"Jam tidak tersinkron","en":"The clock is not set"}`},
		{"alert/id-conflict", ""},
	}
	for _, m := range messages {
		if err := v.Validate(prefix+m.topic, []byte(m.payload)); err != nil {
			t.Fatal(err)
		}
	}

	r := newTelegraf(t, program, b.URL())
	r.start()
	wants := []string{
		`^gateway_health,dinas=dinkes,gateway=dinkes-01 .*\bjournal_pending=12\b`,
		`^gateway_health,.*\bjournal_oldest_pending_s=90\b`,
		`^gateway_health,.*\bjournal_commit_ms_p99=8.5\b`,
		`^gateway_health,.*\bpi_temp_c=51.2\b`,
		`^gateway_health,.*(\blevel="warn",level_code=1i|level_code=1i.*level="warn")`,
		`^gateway_health,.*\bclock_state="synced"`,
		`^gateway_reader,dinas=dinkes,gateway=dinkes-01,name=door .*\btaps=41\b`,
		`^gateway_reader,dinas=dinkes,gateway=dinkes-01,name=back .*\bstate="deaf"`,
		`^gateway_receiver,dinas=dinkes,gateway=dinkes-01,name=yard .*\bframes=1234\b`,
		`^gateway_status,dinas=dinkes,gateway=dinkes-01 .*\bonline_code=1i`,
		`^gateway_alert,code=clock-unsynced,dinas=dinkes,gateway=dinkes-01 value="\{.*Jam tidak tersinkron`,
		`^gateway_alert,code=id-conflict,dinas=dinkes,gateway=dinkes-01 value=""`,
	}
	// Not all subscriptions stand at once, so the gateway says it again, as it does.
	metrics := r.await(func() {
		for _, m := range messages {
			seen.Publish(prefix+m.topic, false, []byte(m.payload))
		}
	}, wants...)
	if strings.Contains(metrics, "readers_") || strings.Contains(metrics, "topic=") {
		t.Errorf("what the configuration leaves out is there:\n%s", metrics)
	}
}

// TestTelegrafLearnsOfAnAlertThatEndedWhileItWasAway: of such an alert the broker has
// nothing retained any more, and Telegraf would never hear of its end.
func TestTelegrafLearnsOfAnAlertThatEndedWhileItWasAway(t *testing.T) {
	program := installTelegraf(t)
	b := brokertest.Start(t)
	gateway := b.Subscribe("nothing")
	const alert, stays = "presence/v1/dinkes/dinkes-01/alert/clock-unsynced", "presence/v1/dinkes/dinkes-01/alert/rtc-missing"
	gateway.Publish(alert, true, []byte(`{"code":"clock-unsynced"}`))
	r := newTelegraf(t, program, b.URL())
	r.start()
	r.await(nil, `^gateway_alert,code=clock-unsynced,dinas=dinkes,gateway=dinkes-01 value="\{.*`)
	r.stop()
	gateway.Publish(alert, true, nil)
	gateway.Publish(stays, true, []byte(`{"code":"rtc-missing"}`))
	r.start()
	r.await(nil, `^gateway_alert,code=rtc-missing,.* value="\{`, `^gateway_alert,code=clock-unsynced,dinas=dinkes,gateway=dinkes-01 value="" `)
}
