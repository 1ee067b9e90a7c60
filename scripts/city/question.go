package city

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"
)

// Question is a command for one gateway (`cmd/<name>`), and what its reply needs.
type Question struct {
	Broker         string // tls://host:port; several with commas between are all asked
	TLS            *tls.Config
	Dinas, Gateway string
	Name           string          // ping, report, identify, resync
	Args           json.RawMessage // an object; nil: none
	// Wait is for how long a reply is waited for. The command expires then, so that a
	// gateway that comes back later does not carry it out.
	Wait time.Duration
}

// Reply is what a gateway answers (`reply/<name>`).
type Reply struct {
	TX     string          `json:"tx"`
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

// Refused is the error of a command that the gateway did not carry out, in its words.
type Refused string

// Error implements error.
func (r Refused) Error() string { return "the gateway refuses: " + string(r) }

// Ask sends the command and returns the result of the reply. Where none comes the error
// says what the broker knows of the gateway.
func (q Question) Ask(ctx context.Context) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, q.Wait)
	defer cancel()
	type answer struct {
		result json.RawMessage
		err    error
	}
	brokers := strings.Split(q.Broker, ",")
	answers := make(chan answer, len(brokers))
	for _, broker := range brokers {
		go func() { // ends with the context
			result, err := q.ask(ctx, broker)
			answers <- answer{result, err}
		}()
	}
	var all []error
	for range brokers {
		a := <-answers
		if a.err == nil || errors.As(a.err, new(Refused)) {
			return a.result, a.err
		}
		all = append(all, a.err)
	}
	return nil, errors.Join(all...)
}

// ask is Ask at one broker.
func (q Question) ask(ctx context.Context, broker string) (json.RawMessage, error) {
	if q.Args == nil {
		q.Args = json.RawMessage("{}")
	}
	tx := uuid.NewString()
	command, err := json.Marshal(struct {
		TX      string          `json:"tx"`
		Expires string          `json:"expires"`
		Args    json.RawMessage `json:"args"`
	}{tx, time.Now().Add(q.Wait).UTC().Format(time.RFC3339), q.Args})
	if err != nil {
		return nil, fmt.Errorf("make command: %w", err)
	}
	below := fmt.Sprintf("presence/v1/%s/%s/", q.Dinas, q.Gateway)
	replies, states := make(chan Reply, 1), make(chan string, 1)
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker).SetTLSConfig(q.TLS).
		SetClientID("ask-" + tx).SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(q.Wait).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			var r Reply
			switch {
			case m.Topic() == below+"status" && m.Retained():
				offer(states, stateOf(m.Payload()))
			case m.Topic() == below+"reply/"+q.Name && json.Unmarshal(m.Payload(), &r) == nil && r.TX == tx:
				offer(replies, r)
			}
		}))
	defer client.Disconnect(100) // milliseconds
	if err := done(ctx, client.Connect()); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", broker, err)
	}
	filters := map[string]byte{below + "reply/" + q.Name: 1, below + "status": 1}
	subscribed := client.SubscribeMultiple(filters, nil)
	if err := done(ctx, subscribed); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if granted, ok := subscribed.(*mqtt.SubscribeToken); ok && granted.Result()[below+"reply/"+q.Name] == refused {
		return nil, errors.New("subscribe to the reply: the broker does not allow it to this certificate; use that of admin")
	}
	if err := done(ctx, client.Publish(below+"cmd/"+q.Name, 1, false, command)); err != nil {
		return nil, fmt.Errorf("send the command: %w", err)
	}
	select {
	case r := <-replies:
		if !r.OK {
			return nil, Refused(r.Error)
		}
		return r.Result, nil
	case <-ctx.Done():
	}
	select {
	case state := <-states:
		return nil, fmt.Errorf("no reply from %s/%s within %s: it is %s", q.Dinas, q.Gateway, q.Wait, state)
	default:
		return nil, fmt.Errorf("no reply from %s/%s within %s: the broker has never heard of it; check department and id", q.Dinas, q.Gateway, q.Wait)
	}
}

// stateOf puts the retained status of a gateway into words.
func stateOf(payload []byte) string {
	var s struct{ State, Reason, Time string }
	if json.Unmarshal(payload, &s) != nil || s.State == "" {
		return "of unknown state"
	}
	if s.State == "online" {
		return "online, but does not answer; the ACL may not let this certificate write commands"
	}
	text := s.State + " (" + s.Reason + ")"
	if s.Time != "" {
		text += " since " + s.Time
	}
	return text
}

// offer passes on the first of its kind; what comes later is dropped.
func offer[T any](to chan<- T, what T) {
	select {
	case to <- what:
	default:
	}
}

// done waits for a token.
func done(ctx context.Context, t mqtt.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return errors.New("no answer from the broker in time")
	}
}
