package resync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// city is a database with holes and a broker that takes commands.
type city struct {
	mu    sync.Mutex
	holes []Hole
	said  []string // gateway, stream's last digit, from
	down  bool
}

func (c *city) asker(after time.Duration, atMost int) *Asker {
	return &Asker{
		After: after, AtMost: atMost, Log: slog.New(slog.DiscardHandler), Asked: func() {}, Refused: func() {},
		Holes: func(context.Context, time.Duration) ([]Hole, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.down {
				return nil, errors.New("away")
			}
			return c.holes, nil
		},
		Publish: func(topic string, payload []byte) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			var command struct {
				TX, Expires string
				Args        struct {
					Stream string
					Seq    int64
				}
			}
			expires := time.Time{}
			if err := json.Unmarshal(payload, &command); err == nil {
				expires, _ = time.Parse(time.RFC3339, command.Expires)
			}
			// A gateway refuses a command without tx, and one that expires in more than an hour.
			if !strings.HasPrefix(command.TX, "recorder-") || !expires.After(time.Now()) || expires.After(time.Now().Add(time.Hour)) {
				c.said = append(c.said, "wrong: "+string(payload))
				return true
			}
			gateway, _ := strings.CutPrefix(topic, "presence/v1/dinkes/")
			gateway, ok := strings.CutSuffix(gateway, "/cmd/resync")
			c.said = append(c.said, fmt.Sprintf("%s %s %d %v", gateway, command.Args.Stream[35:], command.Args.Seq, ok))
			return true
		},
	}
}

func (c *city) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.said)
}

func hole(gateway string, stream byte, from int64) Hole {
	return Hole{Dinas: "dinkes", Gateway: gateway, Stream: uuid.UUID{15: stream}, From: from, To: from + 5}
}

// What is missing is asked for once from its first number on, and then ever more seldom.
func TestAsksAndBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &city{holes: []Hole{hole("a", 1, 7), hole("a", 1, 20)}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.asker(2*time.Minute, 30).Run(ctx)
		time.Sleep(time.Minute)
		synctest.Wait()
		c.mu.Lock()
		said := c.said[:len(c.said):len(c.said)]
		c.mu.Unlock()
		if len(said) != 1 || said[0] != "a 1 7 true" {
			t.Fatalf("asked %q", said)
		}
		time.Sleep(24 * time.Hour)
		// After 4, 8, 16, ... minutes, of each at least half: about ten times in a day.
		if n := c.asked(); n < 6 || n > 12 {
			t.Errorf("asked %d times in a day", n)
		}
		// A stream that got on is forgotten, and asked about at once when it lacks something
		// again.
		c.mu.Lock()
		c.holes, c.said = nil, nil
		c.mu.Unlock()
		time.Sleep(2 * time.Minute)
		c.mu.Lock()
		c.holes = []Hole{hole("a", 1, 30)}
		c.mu.Unlock()
		time.Sleep(time.Minute)
		if n := c.asked(); n != 1 {
			t.Errorf("asked %d times about what is newly missing", n)
		}
	})
}

// A city in which everything is missing at once does not ask everybody at once, and a
// gateway not about two streams at once.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &city{}
		for i := range 500 {
			c.holes = append(c.holes, hole(fmt.Sprintf("gw-%d", i), 1, 1), hole(fmt.Sprintf("gw-%d", i), 2, 1))
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.asker(2*time.Minute, 30).Run(ctx)
		for minute := 1; minute <= 10; minute++ {
			time.Sleep(time.Minute)
			if n := c.asked(); n > 30*(minute+1) || n < 30*(minute-1) {
				t.Errorf("%d questions in %d minutes", n, minute)
			}
		}
		c.mu.Lock()
		c.down = true // a database that is away is no reason to stop
		c.mu.Unlock()
		time.Sleep(5 * time.Minute)
		before := c.asked()
		c.mu.Lock()
		c.down = false
		c.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if c.asked() == before {
			t.Error("it asked nothing after the database was away")
		}
	})
}

func TestReplies(t *testing.T) {
	refused := 0
	a := &Asker{Log: slog.New(slog.DiscardHandler), Refused: func() { refused++ }}
	for _, payload := range []string{
		`{"tx":"recorder-1","ok":true,"result":{"events":5},"error":""}`,
		`{"tx":"ask-1","ok":false,"error":"somebody else's"}`, `no JSON`, ``,
		`{"tx":"recorder-2","ok":false,"result":{},"error":"it is not in the journal"}`,
	} {
		a.Reply("presence/v1/dinkes/a/reply/resync", []byte(payload))
	}
	if refused != 1 {
		t.Errorf("%d refusals counted", refused)
	}
}
