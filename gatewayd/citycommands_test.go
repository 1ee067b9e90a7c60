package main_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// TestTheCityAsks: each command of the city is answered by a whole gateway.
func TestTheCityAsks(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	g := newGateway(t, b.URL(), "")
	g.start()
	seen := b.Subscribe("presence/v1/dinkes/dinkes-01/#")
	v := validator(t)
	for _, tc := range []struct {
		name, args string
		result     string // a field of it; "" for none
	}{
		{"ping", `{}`, "pong"},
		{"report", `{}`, "uptime_s"},
		{"identify", `{}`, ""},
	} {
		topic := "presence/v1/dinkes/dinkes-01/reply/" + tc.name
		seen.Publish("presence/v1/dinkes/dinkes-01/cmd/"+tc.name, false,
			fmt.Appendf(nil, `{"tx":"tx of %s","expires":%q,"args":%s}`, tc.name, time.Now().Add(time.Minute).Format(time.RFC3339), tc.args))
		var reply []byte
		seen.Await("the reply to "+tc.name, func(all []brokertest.Message) bool {
			for _, m := range all {
				if m.Topic == topic {
					reply = m.Payload
				}
			}
			return reply != nil
		})
		if err := v.Validate(topic, reply); err != nil {
			t.Error(err)
		}
		var r struct {
			TX     string
			OK     bool
			Result map[string]json.RawMessage
		}
		if err := json.Unmarshal(reply, &r); err != nil || !r.OK || r.TX != "tx of "+tc.name {
			t.Errorf("%s is answered by %s (%v)", tc.name, reply, err)
		}
		if _, there := r.Result[tc.result]; !there && tc.result != "" {
			t.Errorf("%s is answered without %s: %s", tc.name, tc.result, reply)
		}
	}
}
