package kittest_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// office plays a gateway that is online, takes hours or refuses them, and answers when
// it is asked how it is.
func (d *desk) office(b *brokertest.Broker, id string, takes bool) *line {
	d.t.Helper()
	cert, key := d.city.Issue(id)
	l := call(d.t, d.city.As(b, cert, key), id, true)
	own := "presence/v1/dinkes/" + id + "/"
	var serial atomic.Int64
	health := func() string {
		return fmt.Sprintf(`{"v":1,"interval_s":60,"level":"ok","time":%q,"hours":{"source":"topic","serial":%d},"roster":{"source":"none"}}`, time.Now().Format(time.RFC3339), serial.Load())
	}
	done(d.t, l.Subscribe(own+"policy/hours", 1, func(_ mqtt.Client, m mqtt.Message) {
		var envelope struct{ Payload []byte }
		var payload struct{ Serial int64 }
		if takes && json.Unmarshal(m.Payload(), &envelope) == nil && json.Unmarshal(envelope.Payload, &payload) == nil {
			serial.Store(payload.Serial)
		}
	}))
	done(d.t, l.Subscribe(own+"cmd/+", 1, func(c mqtt.Client, m mqtt.Message) {
		var command struct{ TX string }
		_ = json.Unmarshal(m.Payload(), &command)
		c.Publish(own+"reply/report", 1, false, fmt.Sprintf(`{"tx":%q,"ok":true,"result":%s,"error":""}`, command.TX, health()))
	}))
	done(d.t, l.Publish(own+"status", 1, true, `{"state":"online","reason":"start","time":"2026-11-23T07:00:00.000+07:00"}`))
	done(d.t, l.Publish(own+"health", 1, true, health()))
	return l
}

// TestAHolidayForAHundredOffices: one command tells who of a hundred is not there, one what is
// wrong, and one signs and publishes a holiday for all and says who has taken it.
func TestAHolidayForAHundredOffices(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin", "city")
	b := c.Broker()
	var list strings.Builder
	list.WriteString("id;dinas;place;contact\r\n")
	for n := 1; n <= 100; n++ {
		fmt.Fprintf(&list, "dinkes-%03d;dinkes;Kantor %[1]d;Sari 0812\r\n", n)
	}
	d := newDesk(t, c, b, list.String())
	d.office(b, "dinkes-001", true)
	stubborn := d.office(b, "dinkes-002", false)
	done(t, stubborn.Publish("presence/v1/dinkes/dinkes-002/alert/hours-refused", 1, true,
		`{"code":"hours-refused","level":"warn","since":"2026-11-23T07:30:00.000+07:00","id":"Jam kerja ditolak.","en":"Hours are refused."}`))
	stopped := d.office(b, "dinkes-003", true)
	done(t, stopped.Publish("presence/v1/dinkes/dinkes-003/status", 1, true, `{"state":"offline","reason":"stop","time":"2026-11-23T16:05:00.000+07:00"}`))
	lost := d.office(b, "dinkes-004", true)
	done(t, lost.Publish("presence/v1/dinkes/dinkes-004/status", 1, true, `{"state":"offline","reason":"lost","time":null}`))
	done(t, lost.Publish("presence/v1/dinkes/dinkes-004/health", 1, true, `{"v":1,"interval_s":60,"level":"warn","time":"2026-11-23T15:00:00.000+07:00"}`))
	silent := d.office(b, "dinkes-005", true)
	done(t, silent.Publish("presence/v1/dinkes/dinkes-005/health", 1, true, `{"v":1,"interval_s":60,"level":"ok","time":"2026-11-23T14:00:00.000+07:00"}`))
	cert, key := c.Issue("dishub-09")
	done(t, call(t, c.As(b, cert, key), "dishub-09", true).Publish("presence/v1/dishub/dishub-09/status", 1, true, `{"state":"online"}`))

	d.says(1, []string{
		"dinkes/dinkes-003 (Kantor 3): offline since 2026-11-23 16:05: was switched off", "dinkes/dinkes-004 (Kantor 4): offline since 2026-11-23 15:00: line or power failed",
		"dinkes/dinkes-005 (Kantor 5): silent since 2026-11-23 14:00", "dinkes/dinkes-100 (Kantor 100): never connected", "dishub/dishub-09: not in the list", "offline: 98 of 100 offices are not there",
	}, "C", "offline")
	d.says(0, []string{"offline: 0 of 1 offices"}, "C", "offline", "dinkes-001")
	d.says(1, []string{"dinkes-004 (Kantor 4): offline sejak 2026-11-23 15:00: jaringan atau listrik putus", "offline: 98 dari 100 kantor"}, "id_ID.UTF-8", "offline")
	d.says(1, []string{"dinkes/dinkes-002 (Kantor 2), hubungi Sari 0812\n  hours-refused (peringatan sejak 2026-11-23 07:30): Jam kerja ditolak.", "masalah: 1 peringatan di 1 dari 100 kantor"}, "id_ID.UTF-8", "wrong")
	d.says(1, []string{"(warning since 2026-11-23 07:30): Hours are refused.", "wrong: 1 alerts at 1 of 100 offices"}, "C", "wrong")

	// Nobody's hours are replaced before the city has said what they are.
	d.says(1, []string{"there are no hours for all yet"}, "C", "holiday", "2026-12-25", "Natal", "--all")
	hours := filepath.Join(c.CA, "week.json")
	debtest.Write(t, hours, `{"mon":"07.30-16:00"}`, 0o600)
	d.says(2, []string{`hours.mon: "07.30-16:00" is no span of hours`}, "C", "hours", hours, "--all")
	debtest.Write(t, hours, `{"mon":"07:30-16:00"}`, 0o600)
	d.says(1, []string{"hours: 1 of 2 gateways"}, "C", "hours", hours, "dinkes-001", "dinkes-002")
	debtest.Write(t, filepath.Join(c.CA, "hours.json"), debtest.Read(t, hours), 0o600)

	all := b.Subscribe("presence/v1/+/+/policy/hours", c.AsProgram(b, "city"))
	begun := time.Now()
	d.says(1, []string{
		"dinkes/dinkes-002 (Kantor 2): refuses it: Hours are refused.", "dinkes/dinkes-003 (Kantor 3): offline; takes it when it is back",
		"dinkes/dinkes-099 (Kantor 99): never connected; takes it when it does", "hours: 1 of 100 gateways have taken it",
	}, "C", "holiday", "2026-12-25", "Hari Raya Natal", "--all")
	t.Logf("a holiday for a hundred took %.0f s", time.Since(begun).Seconds())
	holidays := make(map[string]bool)
	all.Await("a hundred documents with the holiday", func(messages []brokertest.Message) bool {
		for _, m := range messages {
			var envelope struct{ Payload []byte }
			var payload struct {
				Gateway string
				Hours   struct{ Holidays []string }
			}
			if json.Unmarshal(m.Payload, &envelope) == nil && json.Unmarshal(envelope.Payload, &payload) == nil &&
				m.Topic == "presence/v1/dinkes/"+payload.Gateway+"/policy/hours" && len(payload.Hours.Holidays) == 1 && payload.Hours.Holidays[0] == "2026-12-25" {
				holidays[payload.Gateway] = true
			}
		}
		return len(holidays) == 100
	})
	if text := debtest.Read(t, filepath.Join(c.CA, "holidays.txt")); text != "2026-12-25 Hari Raya Natal\n" {
		t.Errorf("the list of holidays is %q", text)
	}
	d.says(2, []string{`hours.period.to: "2027-02-30" is no date`}, "C", "period", "2027-02-08", "2027-02-30", "mon=08:00-15:00", "dinkes-001")
	d.says(0, []string{"hours: 1 of 1 gateways have taken it"}, "C", "holiday", "2026-12-25", "--remove", "dinkes-001")
	if text := debtest.Read(t, filepath.Join(c.CA, "hours/dinkes-001.json")); strings.Contains(text, "2026-12-25") {
		t.Errorf("the hours of one office are %s", text)
	}

	d.says(2, []string{"gatewayd-city holiday DATE NAME"}, "C", "holiday")
	d.says(2, []string{"dinkes-999 is not in"}, "C", "offline", "dinkes-999")
	d.says(1, []string{"dinkes-999 is not in"}, "C", "roster", "dinkes-999", "/dev/null")
	d.says(2, []string{"gatewayd-city JOB"}, "C", "dance")
	for _, job := range []string{"init", "offline", "holiday", "rotate"} {
		d.says(0, []string{"gatewayd-city " + job}, "C", job, "--help")
	}
}
