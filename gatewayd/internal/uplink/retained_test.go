package uplink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// TestWhatIsClearedOrOverwrittenComesBack: what is retained is the gateway's own,
// whoever else may write there.
func TestWhatIsClearedOrOverwrittenComesBack(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "#")
	o := options(b.Address(), newMemory(0))
	o.Restate = 300 * time.Millisecond
	u := uplink.New(o)
	u.Retain("info", []byte(`{"v":1}`))
	u.Retain("alert/a", []byte(`{"code":"a"}`))
	u.Retain("alert/b", []byte(`{"code":"b"}`))
	u.Retain("alert/over", []byte(`{"code":"over"}`))
	u.Retain("alert/over", nil)
	run(t, u)
	city.Await("all of it", func(m []brokertest.Message) bool { return last(m, "alert/b", "b") && last(m, "info", "1") })
	for topic, foreign := range map[string]string{
		"info": "", "alert/a": "", "alert/b": `{"code":"b","level":"ok"}`,
		"alert/over": `{"code":"over"}`, "alert/none": `{"code":"none"}`, "status": "",
	} {
		city.Publish(prefix+topic, true, []byte(foreign))
	}
	right := func(m []brokertest.Message) bool {
		return lastIs(m, "info", `{"v":1}`) && lastIs(m, "alert/a", `{"code":"a"}`) && lastIs(m, "alert/b", `{"code":"b"}`) &&
			!last(m, "alert/over", "o") && !last(m, "alert/none", "n") && last(m, "status", `"online"`)
	}
	city.Await("all of it again", right)
	b.Subscribe(prefix+"#").Await("it to be retained", func(m []brokertest.Message) bool {
		return right(m) && last(m, "alert/a", "a")
	})
}

// TestHealthIsNotPublishedTwice: a new document comes as often as the others are restated.
func TestHealthIsNotPublishedTwice(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "#")
	o := options(b.Address(), newMemory(0))
	o.Restate = 50 * time.Millisecond
	u := uplink.New(o)
	u.Retain("health", []byte(`{"v":1}`))
	u.Retain("info", []byte(`{"v":1}`))
	run(t, u)
	got := city.Await("info ten times", func(m []brokertest.Message) bool { return countOn(m, "info") >= 10 })
	if n := countOn(got, "health"); n != 1 {
		t.Errorf("health was published %d times", n)
	}
}

// countOn counts the messages of a topic.
func countOn(messages []brokertest.Message, topic string) (n int) {
	for _, m := range messages {
		if m.Topic == prefix+topic {
			n++
		}
	}
	return n
}

// TestNoWillFollowsAGoodbye: also where the broker is just saying something, and
// where the connection is very young.
func TestNoWillFollowsAGoodbye(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe(prefix + "status")
	noise := b.Subscribe(prefix + "none")
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-quit:
				return
			default:
				noise.Publish(prefix+"alert/noise", false, fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, strings.Repeat("x", 2000)))
			}
		}
	}()
	defer func() { close(quit); <-done }()
	const lives = 60
	for n := range lives {
		o := options(b.Address(), newMemory(100))
		o.Session = presence.ID{byte(n + 1)}
		o.Limits.Goodbye = brokertest.Wait // however slow this machine is
		u := uplink.New(o)
		u.Leave([]string{presence.ReasonStop, presence.ReasonReload}[n%2])
		stop := run(t, u)
		if n%3 > 0 {
			await(t, "the line", func() bool { return u.Stats().Connected })
		} else {
			<-time.After(time.Duration(n) * 100 * time.Microsecond)
		}
		stop()
	}
	<-time.After(time.Second)
	reasons := make(map[string]int)
	for _, m := range seen.Messages() {
		for _, reason := range []string{"start", "stop", "reload", "lost"} {
			if strings.Contains(string(m.Payload), fmt.Sprintf(`"reason":%q`, reason)) {
				reasons[reason]++
			}
		}
	}
	if reasons["lost"] > 0 || reasons["stop"] < lives/3 || reasons["reload"] < lives/3 || reasons["start"] > reasons["stop"]+reasons["reload"] {
		t.Errorf("%v", reasons)
	}
}
