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

// refusalInterval spaces the lines of the log about refused messages: whoever
// floods the line shall not flood the log as well.
const rejectionInterval = 5 * time.Second

// How often the city is told of refused messages: so many at once, and one each
// interval after that.
const rejectionsAtOnce = 20

// refused counts a message of the broker that was not as it should be, and tells
// the city, if there is a connection.
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

// clip is a topic as the log names it: whoever sends may have made it as long as a
// topic can be.
func clip(topic string) string {
	return fmt.Sprintf("%.80s", strings.ToValidUTF8(topic, "\uFFFD"))
}

// logLine is a line of the log about a refused message.
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

// bucket lets a few things through at once, and more only as time passes.
type bucket struct {
	mu    sync.Mutex
	spent int       // of toldAtOnce
	since time.Time // when the oldest of those comes back
}

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
