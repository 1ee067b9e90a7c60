package city_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/scripts/brokertest"
	"presence/scripts/city"
)

// TestOldHealthIsTrustedLessThanOnline: a gateway that died together with its broker's node
// left "online" behind, for nobody published its will.
func TestOldHealthIsTrustedLessThanOnline(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	speaker := b.Subscribe("nothing")
	now := time.Now()
	ago := func(d time.Duration) string { return now.Add(-d).Format(time.RFC3339) }
	online := func(since time.Duration) string {
		return fmt.Sprintf(`{"state":"online","session":"1","reason":"start","time":%q}`, ago(since))
	}
	health := func(said time.Duration) string {
		return fmt.Sprintf(`{"interval_s":60,"level":"ok","time":%q}`, ago(said))
	}
	cases := map[string]struct {
		status, health string
		want           city.Line
	}{
		"speaks":             {online(time.Hour), health(time.Minute), city.Online},
		"silent":             {online(time.Hour), health(4 * time.Minute), city.Silent},
		"silent-since-start": {online(4 * time.Minute), "", city.Silent},
		"just-started":       {online(time.Minute), "", city.Online},
		"started-again":      {online(time.Minute), health(time.Hour), city.Online},
		"no-clock":           {`{"state":"online","session":"1","reason":"start","time":null}`, `{"interval_s":60,"level":"ok","time":null}`, city.Online},
		"off":                {fmt.Sprintf(`{"state":"offline","session":"1","reason":"stop","time":%q}`, ago(time.Minute)), health(time.Minute), city.Offline},
		"unknown":            {"", "", city.Never},
	}
	for id, tc := range cases {
		for topic, text := range map[string]string{"status": tc.status, "health": tc.health} {
			if text != "" {
				speaker.Publish("presence/v1/dinkes/"+id+"/"+topic, true, []byte(text))
			}
		}
	}
	desk, err := city.Sit(t.Context(), b.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Leave()
	if err := desk.Listen(t.Context(), "+/+/status", "+/+/health"); err != nil {
		t.Fatal(err)
	}
	for id, tc := range cases {
		if c := desk.Condition(city.Office{ID: id, Dinas: "dinkes"}, now); c.Line != tc.want {
			t.Errorf("%s: %s, want %s", id, c.Line, tc.want)
		}
	}
}

// TestDeskSitsAtSeveralBrokers: two brokers that know nothing of each other. A gateway has
// gone from one to the other, where the first was killed and kept that it is there.
func TestDeskSitsAtSeveralBrokers(t *testing.T) {
	t.Parallel()
	a, b, gone := brokertest.Start(t), brokertest.Start(t), brokertest.Start(t)
	gone.Kill()
	before, now := a.Subscribe("presence/v1/#"), b.Subscribe("presence/v1/#")
	say := func(at *brokertest.City, gateway, topic, text string) {
		at.Publish("presence/v1/dinkes/"+gateway+"/"+topic, true, []byte(text))
	}
	status := func(state string, ago time.Duration) string {
		return fmt.Sprintf(`{"state":%q,"session":"1","reason":"lost","time":%q}`, state, time.Now().Add(-ago).Format(time.RFC3339))
	}
	say(before, "moved", "status", status("online", time.Hour))
	say(before, "moved", "alert/no-rtc", `{"code":"no-rtc","en":"old"}`)
	say(now, "moved", "status", status("online", time.Second))
	say(now, "moved", "alert/lamp", `{"code":"lamp","en":"new"}`)
	say(before, "just-moved", "status", status("online", time.Minute))
	say(now, "just-moved", "status", status("online", time.Second))
	say(now, "just-moved", "alert/lamp", `{"code":"lamp","en":"new"}`)
	say(before, "off", "status", status("offline", time.Hour))
	say(now, "off", "status", status("offline", time.Minute))
	desk, err := city.Sit(t.Context(), a.URL()+","+gone.URL()+","+b.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Leave()
	if len(desk.Away()) != 1 {
		t.Errorf("away: %v", desk.Away())
	}
	if err := desk.Listen(t.Context(), "+/+/status", "+/+/alert/+"); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]city.Line{"moved": city.Online, "just-moved": city.Online, "off": city.Offline, "unknown": city.Never} {
		c := desk.Condition(city.Office{ID: id, Dinas: "dinkes"}, time.Now())
		if c.Line != want || want == city.Offline && time.Since(c.Since) > 2*time.Minute {
			t.Errorf("%s: %s since %v, want %s", id, c.Line, c.Since, want)
		}
		if alerts := desk.Alerts(city.Office{ID: id, Dinas: "dinkes"}); want == city.Online && (len(alerts) != 1 || alerts["alert/lamp"] == nil) {
			t.Errorf("%s: %s", id, alerts)
		}
	}
	if n := len(desk.Gateways()); n != 3 {
		t.Errorf("%d gateways", n)
	}
	if err := desk.Publish(t.Context(), "dinkes/moved/roster", true, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, at := range []*brokertest.City{before, now} {
		at.Await("the roster", brokertest.Came("presence/v1/dinkes/moved/roster"))
	}
	if _, err := city.Sit(t.Context(), gone.URL(), nil); err == nil {
		t.Error("nobody is there, and it sits")
	}
}

// TestQuestionGoesToEveryBroker: whoever asks does not know at which one the gateway is.
func TestQuestionGoesToEveryBroker(t *testing.T) {
	t.Parallel()
	a, b := brokertest.Start(t), brokertest.Start(t)
	gateway := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(b.URL()).SetClientID("dinkes-01"))
	if token := gateway.Connect(); !token.WaitTimeout(brokertest.Wait) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	defer gateway.Disconnect(100)
	answer := func(_ mqtt.Client, m mqtt.Message) {
		var c struct{ TX string }
		if json.Unmarshal(m.Payload(), &c) == nil {
			gateway.Publish("presence/v1/dinkes/dinkes-01/reply/ping", 1, false, fmt.Sprintf(`{"tx":%q,"ok":true,"result":{"pong":true}}`, c.TX))
		}
	}
	if token := gateway.Subscribe("presence/v1/dinkes/dinkes-01/cmd/ping", 1, answer); !token.WaitTimeout(brokertest.Wait) {
		t.Fatal("it cannot subscribe")
	}
	q := city.Question{Broker: a.URL() + "," + b.URL(), Dinas: "dinkes", Gateway: "dinkes-01", Name: "ping", Wait: 20 * time.Second}
	began := time.Now()
	if result, err := q.Ask(t.Context()); err != nil || string(result) != `{"pong":true}` || time.Since(began) > q.Wait/2 {
		t.Errorf("%s, %v after %v", result, err, time.Since(began))
	}
	q.Gateway, q.Wait = "dinkes-02", time.Second
	if _, err := q.Ask(t.Context()); err == nil {
		t.Error("a gateway that is nowhere has answered")
	}
}
