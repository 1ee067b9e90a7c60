package kittest_test

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/city"
	"presence/scripts/deb/debtest"
)

// The hours and rosters of all offices get to the gateways that they are for, signed, and
// wait at the broker for those that come later.
func TestOfficesPublishesItsDocuments(t *testing.T) {
	t.Parallel()
	c := kittest.New(t, tree, "admin")
	broker := c.Broker()
	c.List("id,dinas,lat,lon,radius\ndinkes-01,dinkes,-7.9,112.6,100\ndinkop-01,dinkop,,,\n", "", nil, "dinkes", "dinkop")
	for name, text := range map[string]string{
		"hours.json": `{"mon":"07:30-16:00"}`, "hours/dinkop.json": `{"mon":"09:00-10:00"}`,
		"rosters/dinkes-01.csv": "kartu,tag\n04A1B2C3,reyax:50\n",
	} {
		debtest.Write(t, filepath.Join(c.CA, name), text, 0o600)
	}
	if out := c.Offices(program(t, "gatewayd"), "--publish", broker.Address()); !strings.Contains(out, "made=2 ") || !strings.Contains(out, "published=3 ") {
		t.Errorf("it says %s", out)
	}
	validator, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]map[string]string{
		"dinkes-01": {"roster": `"tag":"reyax:50"`, "policy/hours": "07:30-16:00"},
		"dinkop-01": {"policy/hours": "09:00-10:00"},
	} {
		cert, key := c.Issue(id)
		gateway := call(t, c.As(broker, cert, key), id, true)
		own := "presence/v1/" + id[:6] + "/" + id + "/"
		heard := make(chan mqtt.Message, 10)
		for topic := range want {
			done(t, gateway.Subscribe(own+topic, 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m }))
		}
		for range want {
			select {
			case m := <-heard:
				if err := validator.Validate(m.Topic(), m.Payload()); err != nil {
					t.Error(err)
				}
				var envelope struct{ Payload string }
				if err := json.Unmarshal(m.Payload(), &envelope); err != nil {
					t.Fatal(err)
				}
				text, err := base64.StdEncoding.DecodeString(envelope.Payload)
				if err != nil || !m.Retained() || !strings.Contains(string(text), want[strings.TrimPrefix(m.Topic(), own)]) || !strings.Contains(string(text), `"gateway":"`+id+`"`) {
					t.Errorf("%s: %v %s", m.Topic(), err, text)
				}
				if err := validator.ValidateDocument(text); err != nil {
					t.Error(err)
				}
			case <-time.After(brokertest.Wait):
				t.Fatalf("%s hears nothing more", id)
			}
		}
	}
}
