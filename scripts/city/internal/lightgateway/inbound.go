package lightgateway

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// read handles what comes from the broker until the connection ends, and returns why.
func (s *session) read(in *bufio.Reader) error {
	var room []byte
	var p packet
	var err error
	for {
		if p, room, err = readPacket(in, room); err != nil {
			return err
		}
		s.g.mu.Lock()
		s.g.stats.BytesHeard += int64(len(p.body)) + 2
		err = s.handle(p, time.Now())
		s.g.mu.Unlock()
		if err != nil {
			return err
		}
		if in.Buffered() == 0 {
			s.g.poke()
		}
		if cap(room) > 4096 { // a large document came, which is rare
			room = nil
		}
	}
}

// handle handles a packet.
func (s *session) handle(p packet, now time.Time) error {
	switch p.kind {
	case typePuback:
		id, err := p.id()
		if err != nil {
			return err
		}
		return s.puback(id, now)
	case typeSuback:
		if s.stage == awaitSuback {
			s.enter(awaitOnline, now)
			s.publishDocument("status", s.g.status("online", "start", now))
			s.g.stats.LastUp = now
		}
	case typePublish:
		m, err := p.message()
		if err != nil {
			return err
		}
		if m.id != 0 {
			s.out = appendPuback(s.out, m.id)
		}
		s.take(m, now)
	default:
		s.pinged = time.Time{}
	}
	return nil
}

// puback accounts for publications that the broker has acknowledged: an event counts only
// once all that were sent before it are acknowledged.
func (s *session) puback(id uint16, now time.Time) error {
	n := 0 // as a rule it is the first
	for n < len(s.flying) && s.flying[n].id != id {
		n++
	}
	if n == len(s.flying) {
		return fmt.Errorf("PUBACK for %d, which is not on its way", id)
	}
	s.flying[n].acked = true
	s.answer = now
	for len(s.flying) > 0 && s.flying[0].acked {
		s.settle(s.flying[0], now)
		s.flying = s.flying[1:]
	}
	return nil
}

// settle accounts for one publication.
func (s *session) settle(p sent, now time.Time) {
	g := s.g
	s.used -= int(p.places)
	if p.why == document {
		return
	}
	s.pace.give(p.bytes, p.before, now.Sub(p.at))
	g.stats.Acked += int64(p.to - p.from + 1)
	switch p.why {
	case forResync:
		g.ledger.replay.confirmed = max(g.ledger.replay.confirmed, p.to+1)
	case forDelivery:
		before := g.ledger.cursor
		g.ledger.acknowledged(p.to, now)
		g.confirmed(before, now)
	}
}

// confirmed counts how long the events took over which the cursor has moved.
func (g *Gateway) confirmed(before uint64, now time.Time) {
	for pos := max(before, g.journal.gone) + 1; pos <= g.ledger.cursor; pos++ {
		if e := g.journal.at(pos); !e.recorded.IsZero() {
			g.latencies.Add(now.Sub(e.recorded))
		}
	}
	g.journal.keep(g.ledger.cursor, g.opt.Keep)
}

// take handles a message of the city, or one of the gateway's own that the broker passes
// back.
func (s *session) take(m message, now time.Time) {
	g := s.g
	topic := g.behindPrefix(string(m.topic))
	var err error
	switch name, isCommand := strings.CutPrefix(topic, "cmd/"); {
	case topic == "receipt":
		err = g.receipt(m, now)
	case topic == "status":
		// The will of an earlier connection may come late, and must not stand.
		if !m.retained && bytes.Contains(m.payload, []byte(`"offline"`)) && s.stage == draining {
			s.publishDocument("status", g.status("online", "start", now))
		}
	case topic == "event/batch":
		if !s.batches && (s.stage == awaitTrial || s.stage == awaitEcho) {
			s.batches = true
			s.out = appendUnsubscribe(s.out, s.nextID(), g.prefix+"event/batch")
			if s.stage == awaitEcho {
				s.enter(draining, now)
			}
		}
	case isCommand:
		err = s.command(name, m, now)
	}
	if err != nil {
		g.stats.Refused++
		g.stats.LastError = err.Error()
		text := fmt.Sprintf("message on %s refused", topic)
		s.out = appendPublish(s.out, 0, false, g.prefix+"log", logLine(now, g.opt.Zone, text, err))
	}
}

// receipt is a message of that topic.
type receipt struct {
	Stream string `json:"stream"`
	Upto   uint64 `json:"upto"`
	Link   string `json:"link"`
	Sig    string `json:"sig"`

	// Revised are corrections that the city has. This gateway sends each only once, and
	// needs them for the signature alone.
	Revised []struct {
		Seq uint64 `json:"seq"`
		Rev int    `json:"rev"`
	} `json:"revised"`
}

// receipt enters that the city has a stream's events up to one of them.
func (g *Gateway) receipt(m message, now time.Time) error {
	if !g.opt.Receipts {
		return errors.New("receipts are not switched on")
	}
	var r receipt
	if err := json.Unmarshal(m.payload, &r); err != nil || r.Stream == "" || r.Upto == 0 {
		return fmt.Errorf("receipt %.100q is not as it should be", m.payload)
	}
	if g.opt.CityKey != nil && !r.signedBy(g.opt.CityKey, g.opt.Dinas, g.opt.Gateway) {
		return fmt.Errorf("receipt for %s-%d is not signed with the city's key", r.Stream, r.Upto)
	}
	pos, found := g.journal.position(r.Stream, r.Upto)
	if !found {
		return fmt.Errorf("receipt for %s-%d, which is not in the journal", r.Stream, r.Upto)
	}
	if sent := g.ledger.sent; pos > sent {
		if r.Stream == g.journal.stream().id {
			return fmt.Errorf("receipt for %s-%d, which was not sent yet", r.Stream, r.Upto)
		}
		pos = sent
	}
	g.stats.Receipts++
	before := g.ledger.cursor
	g.ledger.receive(&g.journal, r.Stream, pos, !m.retained, now)
	g.confirmed(before, now)
	return nil
}

// signedBy verifies the signature in the form of asyncapi.yaml, schema sig.
func (r receipt) signedBy(key ed25519.PublicKey, dinas, gateway string) bool {
	parts := []string{"gatewayd receipt v1", dinas, gateway, r.Stream, strconv.FormatUint(r.Upto, 10)}
	if r.Link != "" {
		parts = append(parts, r.Link)
	}
	if len(r.Revised) > 0 {
		all := "revised"
		for _, c := range r.Revised {
			all += fmt.Sprintf(" %d:%d", c.Seq, c.Rev)
		}
		parts = append(parts, all)
	}
	sig, err := base64.StdEncoding.DecodeString(r.Sig)
	return err == nil && ed25519.Verify(key, []byte(strings.Join(parts, "\n")), sig)
}
