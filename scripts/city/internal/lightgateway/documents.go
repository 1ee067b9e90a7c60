package lightgateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// encode encodes what always can be encoded.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode document: %v", err)) // it holds only maps, texts and numbers
	}
	return b
}

// fields is a JSON object.
type fields = map[string]any

// timeText is a time as gateways print it; nil where it is zero.
func timeText(t time.Time, zone *time.Location) *string {
	if t.IsZero() {
		return nil
	}
	text := t.In(zone).Format(timeLayout)
	return &text
}

// status is the retained document of that topic, and the last will.
func (g *Gateway) status(state, reason string, at time.Time) []byte {
	return encode(fields{"state": state, "session": g.id, "reason": reason, "time": timeText(at, g.opt.Zone)})
}

// info is the retained document that says what the gateway is.
func (g *Gateway) info() []byte {
	return encode(fields{
		"v": 1, "gateway": g.opt.Gateway, "dinas": g.opt.Dinas,
		"version": version, "commit": "unknown", "go": "", "model": "simfleet", "os": "simfleet", "kernel": "",
		"boot": g.origin.boot, "session": g.id, "stream": g.journal.stream().id,
		"config_digest": fmt.Sprintf("%064x", 0), "schema": 1,
		"readers":   []fields{{"name": "door", "chip": "mfrc522", "bus": "sim"}},
		"receivers": []fields{{"name": "yard", "protocol": "kenwood", "port": "sim"}},
		"simulated": true,
	})
}

// health is the retained document that says how the gateway is.
func (g *Gateway) health(now time.Time) []byte {
	g.healthSeq++
	pending := g.journal.newest() - g.ledger.cursor
	var oldest int64
	if pending > 0 && g.ledger.cursor >= g.journal.gone {
		oldest = max(int64(now.Sub(g.journal.at(g.ledger.cursor+1).at).Seconds()), 0)
	}
	clock := fields{"state": "trusted", "quality": "trusted", "error_ms": 0, "unsynced_s": 0, "rtc": false}
	if g.unsynced {
		clock = fields{"state": "unsynced", "quality": "unsynced", "error_ms": nil, "unsynced_s": 1, "rtc": false}
	}
	return encode(fields{
		"v": 1, "seq": g.healthSeq, "interval_s": g.opt.Health.Seconds(), "level": "ok",
		"time": timeText(now, g.opt.Zone), "uptime_s": int64(now.Sub(g.started).Seconds()),
		"boot": g.origin.boot, "boots": 1, "unclean_boots": 0, "clock": clock,
		"journal": fields{
			"pending": pending, "oldest_pending_s": oldest, "events": len(g.journal.events), "bytes": 0,
			"commit_ms_p50": 0, "commit_ms_p99": 0, "written_bytes_day": 0, "free_bytes": 1 << 28,
		},
		"mqtt": fields{
			"connected": true, "reconnects": g.stats.Connects - 1, "published": g.stats.Published, "acked": g.stats.Acked,
			"received_receipt": g.stats.Receipts, "oldest_inflight_s": 0, "refused": g.stats.Refused, "disconnected_s": 0,
			"bytes_sent": g.stats.BytesSent, "bytes_received": g.stats.BytesHeard, "bytes_day": g.stats.BytesSent + g.stats.BytesHeard,
		},
		"readers":   []fields{{"name": "door", "state": "ok", "taps": 0, "repeats": 0, "errors": 0, "version": "92"}},
		"receivers": []fields{{"name": "yard", "state": "ok", "frames": 0, "bad": fields{}, "duplicates": 0, "outside_hours": 0, "last_s": nil}},
		"pi":        fields{"temp_c": nil, "undervoltage": nil, "throttled": nil, "disk_free_bytes": nil, "root_readonly": nil, "sd_errors": nil},
		"alerts":    []string{}, "simulated": true,
	})
}

func logLine(now time.Time, zone *time.Location, text string, err error) []byte {
	return encode(fields{"time": timeText(now, zone), "level": "WARN", "text": text, "details": fields{"error": err.Error()}})
}

// command carries out a command of the city and replies, or refuses it: with a reply where
// it has a tx, else with an error.
func (s *session) command(name string, m message, now time.Time) error {
	g := s.g
	var c struct {
		TX      string    `json:"tx"`
		Expires time.Time `json:"expires"`
		Args    struct {
			Stream string `json:"stream"`
			Seq    uint64 `json:"seq"`
		} `json:"args"`
	}
	if err := json.Unmarshal(m.payload, &c); err != nil || c.TX == "" {
		return errors.New("command is not as it should be")
	}
	reply := func(result any, err error) {
		r := fields{"tx": c.TX, "ok": err == nil, "result": result, "error": ""}
		if err != nil {
			r["result"], r["error"] = fields{}, err.Error()
			g.stats.Refused++
		}
		b := encode(r)
		g.executed[name+" "+c.TX] = b
		s.publish(g.prefix+"reply/"+name, false, b, sent{why: document}, now)
	}
	if before, again := g.executed[name+" "+c.TX]; again {
		s.publish(g.prefix+"reply/"+name, false, before, sent{why: document}, now)
		return nil
	}
	switch {
	case m.retained:
		reply(nil, errors.New("a retained command would come again at each connection"))
		return nil
	case now.After(c.Expires):
		reply(nil, errors.New("the command has expired"))
		return nil
	case c.Expires.After(now.Add(time.Hour + time.Minute)):
		reply(nil, errors.New("expires: want at most an hour ahead"))
		return nil
	}
	g.stats.Commands++
	switch name {
	case "ping":
		reply(fields{"pong": true}, nil)
	case "report":
		reply(json.RawMessage(g.health(now)), nil)
	case "identify":
		reply(fields{}, nil)
	case "resync":
		pos, found := g.journal.position(c.Args.Stream, c.Args.Seq)
		if !found {
			reply(nil, fmt.Errorf("%s-%d is not in the journal", c.Args.Stream, c.Args.Seq))
			return nil
		}
		reply(fields{"events": g.ledger.replayFrom(max(pos, g.journal.gone+1))}, nil)
	default:
		g.stats.Commands--
		reply(nil, errors.New("unknown command"))
	}
	return nil
}
