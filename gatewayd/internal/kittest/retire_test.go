package kittest_test

import (
	"strings"
	"testing"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
)

// What a broker keeps of a gateway that is no more would be shown for ever: the city
// clears it, and that of no other gateway.
func TestRetireClearsWhatTheBrokerKeeps(t *testing.T) {
	t.Parallel()
	city := kittest.New(t, tree, "admin", "city")
	broker := city.Broker()
	certs := make(map[string][2]string)
	for _, id := range []string{"dinkes-01", "dinkes-02"} {
		cert, key := city.Issue(id)
		certs[id] = [2]string{cert, key}
		gateway := call(t, city.As(broker, cert, key), id, true)
		for _, topic := range []string{"status", "info", "health", "alert/no-rtc"} {
			done(t, gateway.Publish("presence/v1/dinkes/"+id+"/"+topic, 1, true, "{}"))
		}
		gateway.Disconnect(100)
		server := call(t, city.AsProgram(broker, "city"), "city", true)
		for _, topic := range []string{"roster", "policy/hours", "badge-keys", "badge-revoked", "receipt"} {
			done(t, server.Publish("presence/v1/dinkes/"+id+"/"+topic, 1, true, "{}"))
		}
		server.Disconnect(100)
	}
	if out := city.Authority("retire", "dinkes-01", broker.Address()); !strings.Contains(out, "9 topics cleared") {
		t.Errorf("it says %s", out)
	}
	seen := broker.Subscribe("presence/v1/#", city.AsProgram(broker, "city"))
	kept := seen.Await("what is kept of the other gateway", func(m []brokertest.Message) bool { return len(m) >= 9 })
	for _, m := range kept {
		if !strings.HasPrefix(m.Topic, "presence/v1/dinkes/dinkes-02/") {
			t.Errorf("%s is kept", m.Topic)
		}
	}
	broker.Stop()
	broker.Restart() // and reads the new list
	if comesIn(city.As(broker, certs["dinkes-01"][0], certs["dinkes-01"][1])) {
		t.Error("the retired gateway comes in")
	}
	if !comesIn(city.As(broker, certs["dinkes-02"][0], certs["dinkes-02"][1])) {
		t.Error("the other one does not come in")
	}
	for _, args := range [][]string{{"retire", "monitor"}, {"retire", "dinkes-99"}, {"retire", "dinkes-02", "127.0.0.1:1"}} {
		if out, err := city.TryAuthority(args...); err == nil {
			t.Errorf("ca.sh %v: %s", args, out)
		}
	}
}
