package city_test

import (
	"fmt"
	"testing"
	"time"

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
