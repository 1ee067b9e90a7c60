package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// kills is how often each is killed under load: KILLS, or twice.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil {
		return n
	}
	return 2
}

// killing runs gateways until all of their events are receipted, while something is
// killed again and again at random moments.
func (c *city) killing(kill func()) {
	c.t.Helper()
	var load sync.WaitGroup
	load.Go(func() { c.load(20, 100*(kills()+5), 5*time.Minute) })
	for range kills() {
		time.Sleep(time.Duration(200+rand.IntN(1500)) * time.Millisecond) // a random moment
		kill()
	}
	load.Wait()
}

// TestRecorderKilled kills the recorder under load.
func TestRecorderKilled(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	p := c.record()
	c.killing(func() {
		p.kill()
		p = c.start()
	})
}

// TestDatabaseKilled kills all of PostgreSQL under load. The recorder comes back by
// itself, and nobody was told of what was not stored.
func TestDatabaseKilled(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	p := c.record()
	c.killing(func() {
		c.db.Kill()
		c.db.Restart()
	})
	c.await("the recorder to work", p.works)
}

// TestBrokerKilled kills a broker that forgets everything when it is killed.
func TestBrokerKilled(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	p := c.record()
	c.killing(func() {
		c.brokers[0].Kill()
		c.brokers[0].Restart()
	})
	c.await("the recorder to work", p.works)
}

// TestOneOfTwoBrokersKilledForGood is the recommended form: gateways go to the other
// broker, and nothing is lost or doubled.
func TestOneOfTwoBrokersKilledForGood(t *testing.T) {
	t.Parallel()
	c := newCity(t, brokertest.Start(t), brokertest.Start(t))
	p := c.record()
	var load sync.WaitGroup
	load.Go(func() { c.load(20, 500, 3*time.Minute) })
	c.awaitStored(2000)
	c.brokers[0].Kill()
	load.Wait()
	s, status := p.state()
	if status == 200 || !s.Leading || s.Connected[0] || !s.Connected[1] {
		t.Errorf("with one of two brokers gone /healthz says %d and %+v", status, s)
	}
}

// TestDatabaseFull has PostgreSQL refuse everything for want of room. Meanwhile nothing
// is receipted or acknowledged and the metrics say so; then all of it is stored.
func TestDatabaseFull(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	p := c.record()
	sender := c.brokers[0].Subscribe("presence/v1/+/+/receipt")
	s := newStream("dinkes-01")
	sender.Publish(s.topic("badge"), false, []byte(s.badge(1)))
	sender.Await("a receipt", c.upto(s, 1))
	c.query(`create function presence.no_room() returns trigger language plpgsql as $$
		begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
		create trigger no_room before insert on presence.event for each row execute function presence.no_room()`)
	for seq := 2; seq <= 50; seq++ {
		sender.Publish(s.topic("badge"), false, []byte(s.badge(seq)))
	}
	c.await("the recorder to say that it does not store", func() (string, bool) {
		state, status := p.state()
		return state.Problem, status == 503 && strings.Contains(state.Problem, "No space left") &&
			p.metric("recorder_storing") == "0" && p.metric(`recorder_commit_failures_total{why="no_room"}`) > "1"
	})
	if all := c.receipts(s, sender.Messages()); all[len(all)-1].Upto != 1 {
		t.Errorf("a receipt up to %d, and nothing was stored", all[len(all)-1].Upto)
	}
	c.query(`drop trigger no_room on presence.event`)
	sender.Await("a receipt for all", c.upto(s, 50))
	c.whole(50)
	c.await("the recorder to work", p.works)
}

// TestOneEventThatTheSchemaDidNotForesee has a function of the schema fail for one event,
// in a way that says nothing of whose fault it is. Alone it is taken for a database that
// does not work, and is kept. Beside others that are stored it is the guilty one.
func TestOneEventThatTheSchemaDidNotForesee(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	p := c.record()
	c.query(`create function presence.evil() returns trigger language plpgsql as $$
		begin if new.badge = 'evil' then raise exception 'unexpected' using errcode = 'XX000'; end if; return new; end $$;
		create trigger evil before insert on presence.event for each row execute function presence.evil()`)
	sender := c.brokers[0].Subscribe("presence/v1/+/+/receipt")
	s, good := newStream("dinkes-01"), newStream("dinkes-02")
	sender.Publish(s.topic("badge"), false, []byte(s.event("badge", 1, `,"badge":"evil"`)))
	c.await("the recorder to say that it does not store", func() (string, bool) {
		n := p.metric(`recorder_commit_failures_total{why="broken"}`)
		return n, n != "" && n != "0"
	})
	if n := c.query(`select count(*) from presence.refused`); n != "0" {
		t.Errorf("%s messages were refused while nothing was stored", n)
	}
	for seq := 1; seq <= 20; seq++ {
		sender.Publish(good.topic("badge"), false, []byte(good.badge(seq)))
	}
	sender.Await("a receipt for all of the others", c.upto(good, 20))
	c.awaitRow("the one in refused", `select topic, position('evil' in convert_from(payload, 'UTF8')) > 0, position('XX000' in reason) > 0 from presence.refused`, s.topic("badge")+"\tt\tt")
	c.await("the recorder to work", p.works)
}
