package uplink

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// rejectionInterval is the least time between two lines of the gateway's own log about
// rejected messages, so that a flood of messages does not become a flood of lines.
const rejectionInterval = 5 * time.Second

// rejectionsAtOnce is how many rejected messages in a row are reported on the
// topic `log`; after that it is one each rejectionInterval.
const rejectionsAtOnce = 20

// reject counts a message from the broker that is not as it should be, and logs it, also
// on the topic `log` if there is a connection.
func (u *Uplink) reject(topic string, why error) {
	if u.rejectionBudget.allow(time.Now()) {
		u.Log(u.logLine(topic, why))
	}
	u.mu.Lock()
	u.stats.Refused++
	u.rejectionsUnlogged++
	now := time.Now()
	if now.Sub(u.rejectionLogged) < rejectionInterval {
		u.mu.Unlock()
		return
	}
	n := u.rejectionsUnlogged
	u.rejectionLogged, u.rejectionsUnlogged = now, 0
	u.mu.Unlock()
	u.opt.Log.Warn("refused a message from the broker", "topic", clip(topic), "reason", why, "refused", n)
}

// clip shortens a topic for the log: whoever sent the message chose its length.
func clip(topic string) string {
	return fmt.Sprintf("%.80s", strings.ToValidUTF8(topic, "\uFFFD"))
}

// logLine is the payload for the topic `log` about a rejected message.
func (u *Uplink) logLine(topic string, why error) []byte {
	b, err := json.Marshal(presence.LogLine{
		Time: u.now(), Level: slog.LevelWarn.String(), Text: "refused a message from the broker",
		Details: map[string]string{"topic": clip(strings.TrimPrefix(topic, u.prefix)), "reason": fmt.Sprintf("%.200s", why)},
	})
	if err != nil {
		panic("encode log: " + err.Error()) // it holds nothing that JSON cannot say
	}
	return b
}

// bucket is a token bucket: it allows rejectionsAtOnce things at once, and one more each
// rejectionInterval.
type bucket struct {
	mu    sync.Mutex
	spent int       // tokens taken
	since time.Time // when a token last came back
}

// allow takes a token, and reports whether there was one.
func (b *bucket) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if back := int(now.Sub(b.since) / rejectionInterval); back > 0 {
		b.spent, b.since = max(b.spent-back, 0), now
	}
	if b.spent >= rejectionsAtOnce {
		return false
	}
	b.spent++
	return true
}
