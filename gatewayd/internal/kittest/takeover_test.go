package kittest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
)

// tree is the top of the source tree.
const tree = "../../.."

// line is a client's connection to the city's broker that does not come back when
// it is lost.
type line struct {
	mqtt.Client
	lost chan struct{}
	came chan string // topics
}

// call connects with a certificate under a client id of its own choice.
func call(t *testing.T, as func(*mqtt.ClientOptions), id string, clean bool) *line {
	t.Helper()
	l := &line{lost: make(chan struct{}), came: make(chan string, 100)}
	o := mqtt.NewClientOptions()
	as(o)
	o.SetClientID(id).SetCleanSession(clean).SetAutoReconnect(false).SetConnectRetry(false).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(l.lost) }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { l.came <- m.Topic() })
	l.Client = mqtt.NewClient(o)
	if token := l.Connect(); !token.WaitTimeout(brokertest.Wait) || token.Error() != nil {
		t.Fatalf("connect as %s: %v", id, token.Error())
	}
	t.Cleanup(func() { l.Disconnect(100) })
	return l
}

// done waits for what the broker has to acknowledge.
func done(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(brokertest.Wait) || token.Error() != nil {
		t.Fatalf("the broker does not acknowledge: %v", token.Error())
	}
}

// A certificate is one client of the broker, whatever client id is given with it:
// a stolen gateway can neither empty the queue of events that waits for the
// recorder nor throw another gateway off.
func TestClientIDsAreBoundToCertificates(t *testing.T) {
	t.Parallel()
	city := kittest.New(t, tree, "recorder")
	broker := city.Broker()
	recorder := city.AsProgram(broker, "recorder")
	oursCert, oursKey := city.Issue("dinkes-01")
	theirsCert, theirsKey := city.Issue("dinkes-02")
	ours, theirs := city.As(broker, oursCert, oursKey), city.As(broker, theirsCert, theirsKey)

	const filter = "presence/v1/+/+/event/+"
	first := call(t, recorder, "recorder", false)
	done(t, first.Subscribe(filter, 1, nil))
	first.Disconnect(100)

	gateway := call(t, ours, "dinkes-01", true)
	const events = 5
	for n := range events {
		done(t, gateway.Publish("presence/v1/dinkes/dinkes-01/event/badge", 1, false, fmt.Sprintf(`{"seq":%d}`, n)))
	}

	// As the recorder, once to end its session and once to keep what is in it.
	for _, clean := range []bool{false, true} {
		thief := call(t, theirs, "recorder", clean)
		thief.Disconnect(100)
		select {
		case topic := <-thief.came:
			t.Errorf("a gateway's certificate read %s in the recorder's session", topic)
		default:
		}
	}
	again := call(t, recorder, "recorder", false)
	for n := range events {
		select {
		case <-again.came:
		case <-time.After(5 * time.Second):
			t.Fatalf("%d of %d acknowledged events are left for the recorder", n, events)
		}
	}

	// As the other gateway, and as a gateway's certificate with the id of a program.
	for _, id := range []string{"dinkes-01", "recorder", ""} {
		call(t, theirs, id, true).Disconnect(100)
	}
	for name, l := range map[string]*line{"dinkes-01": gateway, "recorder": again} {
		select {
		case <-l.lost:
			t.Errorf("another certificate threw %s off the broker", name)
		default:
			if !l.IsConnectionOpen() {
				t.Errorf("%s is not connected any more", name)
			}
		}
	}
	done(t, gateway.Publish("presence/v1/dinkes/dinkes-01/event/badge", 1, false, `{"seq":6}`))
	select {
	case topic := <-again.came:
		if topic != "presence/v1/dinkes/dinkes-01/event/badge" {
			t.Errorf("%s came", topic)
		}
	case <-time.After(brokertest.Wait):
		t.Error("nothing comes any more")
	}
}

// Each program of the city has a certificate of its own that can do its work and
// nothing else.
func TestProgramsOfTheCityMayDoTheirOwnWork(t *testing.T) {
	t.Parallel()
	programs := []string{"recorder", "clock", "monitor", "admin", "telegraf-alerts"}
	city := kittest.New(t, tree, programs...)
	broker := city.Broker()
	cert, key := city.Issue("dinkes-01")
	gateway := broker.Subscribe("presence/v1/+/dinkes-01/#", city.As(broker, cert, key))
	hears := make(map[string]*brokertest.City)
	for _, name := range programs {
		hears[name] = broker.Subscribe("presence/v1/#", city.AsProgram(broker, name))
	}
	const own = "presence/v1/dinkes/dinkes-01/"
	from := []string{"status", "info", "health", "alert/x", "event/badge", "event/start", "reply/ping", "log", "time/request"}
	for _, topic := range from {
		gateway.Publish(own+topic, false, []byte("{}"))
	}
	for name, want := range map[string][]string{
		"recorder":        {"status", "info", "health", "alert/x", "event/badge", "event/start"},
		"clock":           {"time/request"},
		"monitor":         {"status", "info", "health", "alert/x", "log"},
		"telegraf-alerts": {"alert/x"},
		"admin":           {"status", "info", "health", "alert/x", "reply/ping", "log"},
	} {
		got := hears[name].Await("what "+name+" may read", func(m []brokertest.Message) bool { return len(m) >= len(want) })
		for _, m := range got {
			if topic := m.Topic[len(own):]; !slices.Contains(want, topic) {
				t.Errorf("%s may read %s", name, topic)
			}
		}
	}

	to := []string{"receipt", "cmd/ping", "roster", "policy/hours", "time/reply"}
	allowed := map[string][]string{
		"recorder": {"receipt"}, "clock": {"time/reply"}, "admin": {"cmd/ping", "roster", "policy/hours", "receipt"},
	}
	for _, name := range programs {
		hears[name].Disconnect()
		for _, topic := range to {
			// mosquitto 2.0.11 hangs up on who says what is forbidden: each message
			// has a connection of its own.
			l := call(t, city.AsProgram(broker, name), name, true)
			l.Publish(own+topic, 1, false, name).WaitTimeout(brokertest.Wait)
			l.Disconnect(100)
		}
	}
	said := gateway.Await("what the city says", func(m []brokertest.Message) bool {
		heard := make(map[string]bool)
		for _, m := range m {
			heard[m.Topic[len(own):]] = true
		}
		return !slices.ContainsFunc(to, func(topic string) bool { return !heard[topic] })
	})
	for _, m := range said {
		// The gateway may read its own status and alerts.
		if topic, name := m.Topic[len(own):], string(m.Payload); name != "{}" && !slices.Contains(allowed[name], topic) {
			t.Errorf("%s may write %s", name, topic)
		}
	}
}
