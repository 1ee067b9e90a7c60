package uplink_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
	"presence/scripts/city"
)

// bootReading is a reading on a clock of which only the distances are right.
func bootReading(start time.Time) func() presence.Reading {
	return func() presence.Reading {
		return presence.Reading{Boot: presence.ID{1}, Boottime: time.Since(start)}
	}
}

// questionsOf returns those of some messages in which a gateway asks for the time.
func questionsOf(messages []brokertest.Message) (questions []brokertest.Message) {
	for _, m := range messages {
		if strings.HasSuffix(m.Topic, "/request") {
			questions = append(questions, m)
		}
	}
	return questions
}

// TestOnlyTheBestAnswerBecomesAnAnchor has a city that answers by hand, and a
// clock that goes on only by hand.
func TestOnlyTheBestAnswerBecomesAnAnchor(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	b, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
	seen := b.Subscribe(prefix + "time/#")
	o := options(address, newMemory(1))
	o.TLS, o.CAFile = true, ca.File
	o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	start := time.Now()
	var passed atomic.Int64 // nanoseconds since then
	o.Now = func() presence.Reading {
		return presence.Reading{Boot: presence.ID{1}, Boottime: time.Duration(passed.Load())}
	}
	o.Limits.AskTime, o.Limits.AskPause = time.Hour, time.Millisecond
	o.Limits.AskReply = brokertest.Wait // however slow this machine is
	type anchor struct {
		at     presence.Reading
		utc    time.Time
		within time.Duration
	}
	anchors := make(chan anchor, 1000)
	o.Anchor = func(at presence.Reading, utc time.Time, within time.Duration) { anchors <- anchor{at, utc, within} }
	run(t, uplink.New(o))
	const questions = 8
	for n := range questions {
		question := questionsOf(seen.Await("a question", func(m []brokertest.Message) bool { return len(questionsOf(m)) > n }))[n]
		v, err := city.NewValidator()
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Validate(question.Topic, question.Payload); err != nil {
			t.Fatal(err)
		}
		utc := start.Add(time.Duration(passed.Load()))
		if back := 150 * time.Millisecond; n != 5 { // all but one have a slow way back
			passed.Add(int64(back))
		}
		topic, answer, ok := city.AnswerTime(question.Topic, question.Payload, utc)
		if !ok {
			t.Fatalf("no answer to %s", question.Payload)
		}
		if err := v.Validate(topic, answer); err != nil {
			t.Fatal(err)
		}
		seen.Publish(topic, false, answer)
	}
	select {
	case a := <-anchors:
		truth := start.Add(a.at.Boottime)
		if off := a.utc.Sub(truth).Abs(); a.within > 10*time.Millisecond || off > a.within {
			t.Errorf("within %v, and off by %v", a.within, off)
		}
	case <-time.After(brokertest.Wait):
		t.Fatal("no anchor")
	}
}

// TestNobodyIsAskedInTheClear: on a plain line anybody could answer.
func TestNobodyIsAskedInTheClear(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seen := b.Subscribe(prefix + "#")
	o := options(b.Address(), newMemory(20))
	o.Now = bootReading(time.Now())
	o.Anchor = func(presence.Reading, time.Time, time.Duration) { t.Error("an anchor") }
	u := uplink.New(o)
	run(t, u)
	await(t, "the line", func() bool { return u.Stats().Connected })
	seen.Publish(prefix+"time/reply", false, []byte(`{"tx":"guess","utc":"2030-01-01T00:00:00Z"}`))
	seen.Publish(prefix+"end", false, []byte("x"))
	messages := seen.Await("the end", brokertest.Came(prefix+"end"))
	for _, m := range messages {
		if strings.HasSuffix(m.Topic, "time/request") {
			t.Errorf("asked in the clear: %s", m.Payload)
		}
	}
}

// TestCityThatDoesNotAnswerIsLeftAlone: nobody has to run a responder.
func TestCityThatDoesNotAnswerIsLeftAlone(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	b, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
	seen := b.Subscribe(prefix + "#")
	o := options(address, newMemory(20))
	o.TLS, o.CAFile = true, ca.File
	o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	o.Now = bootReading(time.Now())
	o.Limits.AskReply = 400 * time.Millisecond
	o.Anchor = func(presence.Reading, time.Time, time.Duration) { t.Error("an anchor") }
	u := uplink.New(o)
	run(t, u)
	await(t, "the events", func() bool { return o.Journal.Cursor() == 20 })
	<-time.After(3 * o.Limits.AskReply) // two questions, and time for a third
	asked := 0
	for _, m := range seen.Messages() {
		if strings.HasSuffix(m.Topic, "time/request") {
			asked++
		}
	}
	if s := u.Stats(); asked != 2 || s.Reconnects != 0 || s.Refused != 0 {
		t.Errorf("asked %d times; %+v", asked, s)
	}
}

// TestBrokerThatDeniesTheQuestion has the access list of a city that knows
// nothing of it: everything else goes on.
func TestBrokerThatDeniesTheQuestion(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	rules := ""
	for _, topic := range []string{"event/+", "status", "alert/+", "info", "health"} {
		rules += "topic readwrite " + prefix + topic + "\n"
	}
	_, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour), acl(t, rules))
	o := options(address, newMemory(20))
	o.TLS, o.CAFile = true, ca.File
	o.CertFile, o.KeyFile = ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	o.Now = bootReading(time.Now())
	o.Limits.AskTime = 10 * time.Millisecond
	o.Anchor = func(presence.Reading, time.Time, time.Duration) { t.Error("an anchor") }
	u := uplink.New(o)
	run(t, u)
	await(t, "the events", func() bool { return o.Journal.Cursor() == 20 })
	// Some versions hang up over the question; they are not asked for ever.
	<-time.After(2 * time.Second)
	if s := u.Stats(); !s.Connected || s.Reconnects > 2 {
		t.Errorf("%+v", s)
	}
}
