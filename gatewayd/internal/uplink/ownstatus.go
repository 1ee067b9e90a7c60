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

// ownStatus handles a message on the gateway's own topic `status`.
//
// The will of an earlier connection can be published late, and would leave a gateway
// that works marked as offline for ever: then the status is published again. A status
// with another session comes from a second gateway with the same id if it is published
// now, or if it is the retained one when this process comes back to the broker, where
// its own was the last. At a process's first connection the retained status is that of
// the process before.
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
		// The status is not published again: two gateways under one id would contradict
		// each other without end.
		u.rivalSeen(status.Session)
	}
	return nil
}

// rivalSeen notes that another gateway uses this one's id.
func (u *Uplink) rivalSeen(session presence.ID) {
	u.mu.Lock()
	again := time.Since(u.rival) < rejectionInterval
	u.rival = time.Now()
	u.mu.Unlock()
	if again {
		return // it is logged already, and a broker may repeat it without end
	}
	u.opt.Log.Error("another gateway uses this gateway's id", "id", u.opt.Origin.Gateway, "session", session.String())
}

// A broker may send any number of alerts, of any length.
const (
	mostContested = 128 // foreign alerts that are remembered until the next restate
	longestAlert  = 128 // bytes of an alert's topic
)

// ownAlert handles a message on a topic `alert/...` of this gateway that differs from
// what the gateway published there. A retained alert that an earlier process left behind
// is cleared at once. One that somebody else published or cleared is put right at the
// next restate.
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
