package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"presence/gatewayd/internal/presence"
	schema "presence/scripts/city"
)

// line is the way to the city and the broker at its end.
type line struct {
	w         *world
	validator *schema.Validator
	secure    *tls.Config // of the broker; nil: it does without TLS

	mu       sync.Mutex
	up       bool
	silent   bool // what is sent goes nowhere, and nothing comes back
	conn     net.Conn
	life     *life     // who is connected
	online   bool      // the gateway has said that it is, over this connection
	greeted  time.Time // when somebody last said to be online
	retained map[string][]byte
	problems []string
	checked  map[string]int // messages held against the schema, by topic
}

const yearPrefix = "presence/v1/dinkes/year-01/"

func (l *line) dial(of *life) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || l.silent || of.dead {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}
	}
	near, far := net.Pipe()
	if l.secure != nil {
		far = tls.Server(far, l.secure)
	}
	if l.conn != nil {
		_ = l.conn.Close()
	}
	l.conn, l.life = far, of
	go l.serve(far, of)
	return near, nil
}

// cut ends the connection.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// set takes the line down or brings it back.
func (l *line) set(up, silent bool) {
	l.mu.Lock()
	was := l.silent
	l.up, l.silent = up, silent
	l.mu.Unlock()
	if !up || was && !silent { // nobody waits for what went nowhere
		l.cut()
	}
}

// serve is the broker's side of one connection.
func (l *line) serve(conn net.Conn, of *life) {
	out := make(chan packets.ControlPacket, 4096)
	var writing sync.WaitGroup
	writing.Go(func() {
		for p := range out {
			if p.Write(conn) != nil {
				_ = conn.Close() // and the reader ends
			}
		}
	})
	defer writing.Wait()
	defer close(out)
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		p, err := packets.ReadPacket(r)
		if err != nil {
			return
		}
		if _, ends := p.(*packets.DisconnectPacket); ends && !l.quiet() {
			return
		}
		l.mu.Lock()
		for _, answer := range l.take(p, of) {
			out <- answer
		}
		l.mu.Unlock()
	}
}

func (l *line) quiet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent
}

// take is what the broker does with a packet.
func (l *line) take(p packets.ControlPacket, of *life) (answers []packets.ControlPacket) {
	switch p := p.(type) {
	case *packets.ConnectPacket:
		l.online = false
		answers = append(answers, packets.NewControlPacket(packets.Connack))
	case *packets.PingreqPacket:
		answers = append(answers, packets.NewControlPacket(packets.Pingresp))
	case *packets.SubscribePacket:
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID, ack.ReturnCodes = p.MessageID, make([]byte, len(p.Topics))
		answers = append(answers, ack)
		for topic, payload := range l.retained {
			if heard(topic) {
				answers = append(answers, publishing(topic, payload, true))
			}
		}
	case *packets.PublishPacket:
		topic := strings.TrimPrefix(p.TopicName, yearPrefix)
		event := strings.HasPrefix(topic, "event/")
		if event {
			of.published++
		}
		if l.silent {
			return nil
		}
		l.validate(topic, p)
		if p.Retain {
			l.retained[topic] = bytes.Clone(p.Payload)
			if len(p.Payload) == 0 {
				delete(l.retained, topic)
			}
		}
		if heard(topic) {
			answers = append(answers, publishing(topic, p.Payload, false))
		}
		if topic == "status" && bytes.Contains(p.Payload, []byte(`"online"`)) && !l.online {
			l.online = true
			of.greeted++
			l.greeted = l.w.now()
		}
		if p.Qos == 1 {
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			ack.MessageID = p.MessageID
			answers = append(answers, ack)
		}
		if topic == "health" {
			l.health(p.Payload, of)
		}
		if event {
			of.acked++
			l.w.truth.cityGets(p.Payload)
		}
	}
	if l.silent {
		return nil
	}
	return answers
}

// health holds a health document against the connection over which it came.
func (l *line) health(payload []byte, of *life) {
	var h presence.Health
	tr := l.w.truth
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err := json.Unmarshal(payload, &h); err != nil {
		tr.wrong("health", "%v", err)
		return
	}
	now := l.w.now()
	if !h.MQTT.Connected {
		tr.wrong("health.mqtt.connected", "a document that came over the line says that there is none")
	}
	if late := now.Sub(of.heard) - l.w.cfg.Health.Longest(); h.Seq > 1 && h.Seq == of.health.Seq+1 && now.Sub(l.greeted) > time.Second && late > 100*time.Millisecond {
		tr.wrong("health.interval", "document %d came %v late", h.Seq, late)
	}
	of.health, of.heard = h, now
}

// heard tells whether the gateway subscribes to a topic of its own.
func heard(topic string) bool { return topic == "status" || strings.HasPrefix(topic, "alert/") }

func publishing(topic string, payload []byte, retained bool) packets.ControlPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Retain = yearPrefix+topic, payload, retained
	return p
}

// validate holds some of the messages of each topic against the schema: all would
// take longer than the year.
func (l *line) validate(topic string, p *packets.PublishPacket) {
	l.checked[topic]++
	if n := l.checked[topic]; len(p.Payload) == 0 || n > 20 && n%500 != 0 {
		return
	}
	if err := l.validator.Validate(p.TopicName, p.Payload); err != nil {
		l.problems = append(l.problems, topic+": "+err.Error())
	}
}
