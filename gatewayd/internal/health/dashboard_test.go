package health_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
	"presence/scripts/postgrestest"
)

// dashboardQueries are the queries of the city's dashboard by their title, as Grafana
// would ask them for one gateway.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../scripts/city/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ RawSQL string }
		}
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer("$dinas", "'dinkes'", "$gateway", "'dinkes-01','dinkes-02'", "$__timeFilter(time)", "time BETWEEN (now() AT TIME ZONE 'UTC') - interval '1 hour' AND (now() AT TIME ZONE 'UTC')")
	queries := map[string]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries[p.Title] = filled.Replace(target.RawSQL)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			queries["variable "+v.Name] = filled.Replace(v.Query)
		}
	}
	return queries
}

// TestGrafanaAsksWhatTelegrafHasWritten asks a real database, which a real Telegraf has
// filled, the dashboard's questions: while gateways have told little of themselves, as
// those on other boards than a Pi do, and when one has told all.
func TestGrafanaAsksWhatTelegrafHasWritten(t *testing.T) {
	program := installTelegraf(t)
	db := postgrestest.Start(t)
	connection := db.Create("gateways")
	tables, err := os.Open("../../../scripts/city/telegraf.sql")
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	db.Load("gateways", tables)
	b := brokertest.Start(t)
	gateway := b.Subscribe("nothing")
	r := &telegrafRun{t: t, program: program}
	r.configure(b.URL(), func(conf string) string {
		const delivered = `connection = "host=/var/run/postgresql user=telegraf dbname=gateways"`
		if !strings.Contains(conf, delivered) {
			t.Fatalf("no output to PostgreSQL in\n%s", conf)
		}
		return strings.Replace(conf, delivered, `connection = "`+connection+`"`, 1)
	})
	say := func(id string, h presence.Health) {
		t.Helper()
		document, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		gateway.Publish("presence/v1/dinkes/"+id+"/health", true, document)
		gateway.Publish("presence/v1/dinkes/"+id+"/status", true, []byte(`{"state":"online","session":"6ba7b810-9dad-41d1-80b4-00c04fd430c8","reason":"start","time":null}`))
	}
	at := "2026-11-24T07:30:00.000+07:00"
	little := presence.Health{
		V: 1, Seq: 7, IntervalS: 60, Level: presence.LevelWarn, Time: &at, Clock: presence.ClockHealth{State: "synced", Quality: "synced"},
		Readers: []presence.ReaderHealth{{Name: "door", State: "ok"}}, Receivers: []presence.ReceiverHealth{},
	}
	say("dinkes-01", little)
	const alert = "presence/v1/dinkes/dinkes-01/alert/"
	gateway.Publish(alert+"clock-unsynced", true, []byte(`{"code":"clock-unsynced","level":"warn","since":"","id":"Jam tidak sinkron","en":"The clock is not set"}`))
	r.start()
	answered := func(wants map[string]string) {
		t.Helper()
		var wrong string
		for deadline := time.Now().Add(brokertest.Wait); ; <-time.After(200 * time.Millisecond) {
			wrong = ""
			for title, query := range dashboardQueries(t) {
				rows, err := db.Query("gateways", query)
				if err != nil {
					wrong += title + ": " + err.Error() + "\n"
				} else if want := wants[title]; !regexp.MustCompile(want).MatchString(rows) {
					wrong += title + ": no " + want + " in " + rows + "\n"
				}
			}
			if wrong == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(wrong)
			}
		}
	}
	answered(map[string]string{
		"Gateways now":      `^dinkes\tdinkes-01\t1\t1\t`,
		"Alerts that stand": `clock-unsynced.*Jam tidak sinkron`,
		"Taps by reader":    `dinkes-01 door\t0`,
		"variable gateway":  `^dinkes-01\n$`,
	})

	temperature, weak, days, errors := 51.2, int64(3), 12.5, int64(0)
	all := little
	all.Receivers = []presence.ReceiverHealth{{Name: "yard", State: "silent", Frames: 1234}}
	all.Pi = presence.PiHealth{TempC: &temperature, Undervoltage: &weak, DiskDaysLeft: &days, SDErrors: &errors}
	say("dinkes-02", all)
	gateway.Publish(alert+"clock-unsynced", true, nil)
	answered(map[string]string{
		"Gateways now":       `(?m)^dinkes\tdinkes-02\t1\t1\t.*\t51.2\t3\t12.5$`,
		"Alerts that stand":  `^$`,
		"Temperature":        `dinkes-02\t51.2`,
		"Weak power seen":    `dinkes-02\t3`,
		"Frames by receiver": `dinkes-02 yard\t1234`,
		"variable gateway":   `^dinkes-01\ndinkes-02\n$`,
	})
}
