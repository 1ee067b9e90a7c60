package uplink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"presence/gatewayd/internal/presence"
)

// parseStatus reads a message of the topic `status`.
func parseStatus(payload []byte) (presence.Status, error) {
	var s presence.Status
	if err := json.Unmarshal(payload, &s); err != nil {
		return presence.Status{}, fmt.Errorf("status is not as it should be: %w", presence.PlainJSON(err))
	}
	if s.State != "online" && s.State != "offline" {
		return presence.Status{}, fmt.Errorf("status of state %.20q", s.State)
	}
	return s, nil
}

// ownStatus looks at what the broker says of this gateway.
//
// The will of an earlier connection can come late, and would leave a living
// gateway marked offline for ever: it is contradicted. What is said under
// another session is a sign of a second gateway with the same id, if it is said
// now, or if it stands there when this one comes back to a broker where it was
// the last to speak. At the first connection it is only the process before.
func (s *session) ownStatus(m message) error {
	u := s.u
	status, err := parseStatus(m.payload)
	if err != nil {
		return err
	}
	foreign := status.Session != u.opt.Session
	if !foreign && !m.retained {
		u.mu.Lock()
		u.heard = true
		u.mu.Unlock()
	}
	switch {
	case m.retained:
		if foreign && s.reconnected {
			u.rivalSeen(status.Session)
		}
	case status.State == "offline":
		u.publishSoon("status")
	case foreign:
		// It is not contradicted: two gateways that do would never end.
		u.rivalSeen(status.Session)
	}
	return nil
}

func (u *Uplink) rivalSeen(session presence.ID) {
	u.mu.Lock()
	again := time.Since(u.rival) < rejectionInterval
	u.rival = time.Now()
	u.mu.Unlock()
	if again {
		return // it says nothing new, and a broker may say it without end
	}
	u.opt.Log.Error("another gateway uses this gateway's id", "id", u.opt.Origin.Gateway, "session", session.String())
}

// mostContested bounds the alerts of others that are noticed between two times
// that the gateway's own are said, and longestAlert their topics in bytes: a
// broker may say anything.
const (
	mostContested = 128
	longestAlert  = 128
)

// ownAlert notices an alert that is not this gateway's: one that an earlier
// process left behind, which is cleared, or one that somebody put there or
// cleared, which is set right the next time.
func (s *session) ownAlert(m message) {
	u, topic := s.u, m.topic
	if len(topic) > longestAlert {
		return
	}
	u.mu.Lock()
	ours := u.retained[topic]
	differs := !bytes.Equal(ours, m.payload)
	left := m.retained && differs && len(ours) == 0 && s.cleared < mostContested
	if left {
		s.cleared++
	} else if differs && len(u.contested) < mostContested {
		u.contested[topic] = struct{}{}
	}
	u.mu.Unlock()
	if left {
		u.publishSoon(topic)
	}
}
