// Package resync asks gateways for events that the city's database lacks.
//
// It exists because an event can be lost behind a broker's acknowledgement, and its
// gateway may have forgotten by then that it has to be sent: with receipts = false it
// counts as delivered. The gateway's journal still has it for some weeks, and the command
// resync has it sent again. Asking is bounded, for a gateway that cannot help, because
// its journal was lost, must not be asked for ever at full speed.
package resync

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Hole is numbers of a stream that the city lacks.
type Hole struct {
	Dinas, Gateway string
	Stream         uuid.UUID
	From, To       int64
}

// Asker asks.
type Asker struct {
	// Holes returns what has been missing for so long, those of a stream in order.
	Holes func(ctx context.Context, since time.Duration) ([]Hole, error)
	// Publish publishes at the brokers, and reports whether there was one.
	Publish func(topic string, payload []byte) bool
	Log     *slog.Logger
	// After is since when something has been missing that is asked for.
	After time.Duration
	// AtMost is how many gateways are asked in a minute.
	AtMost int
	// Asked and Refused are called with each question and each refusal.
	Asked, Refused func()

	asked map[stream]question
}

type stream struct {
	dinas, gateway string
	id             uuid.UUID
}

// question is how often a stream was asked about.
type question struct {
	times int
	next  time.Time
}

const (
	// longest is the longest time between two questions about a stream.
	longest = 24 * time.Hour
	// expires is how long a gateway may take to hear of a command.
	expires = 10 * time.Minute
	// txPrefix begins the transaction id of each question of a recorder.
	txPrefix = "recorder-"
)

// interval is how often it looks for what is missing.
func (a *Asker) interval() time.Duration { return min(max(a.After/4, time.Second), time.Minute) }

// Run asks until the context ends.
func (a *Asker) Run(ctx context.Context) {
	a.asked = make(map[stream]question)
	look := time.NewTicker(a.interval())
	defer look.Stop()
	budget := float64(a.AtMost)
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		budget = min(budget+float64(a.AtMost)*a.interval().Minutes(), float64(a.AtMost))
		holes, err := a.Holes(ctx, a.After)
		if err != nil {
			if ctx.Err() == nil {
				a.Log.Warn("cannot look for missing events", "why", err)
			}
			continue
		}
		budget -= float64(a.round(holes, int(budget), time.Now()))
	}
}

// round asks about some holes, and returns how many gateways were asked. Each is asked
// about one stream: it sends everything behind the number that it is asked for.
func (a *Asker) round(holes []Hole, budget int, now time.Time) int {
	first := make(map[stream]Hole)
	var order []stream
	for _, h := range holes {
		key := stream{h.Dinas, h.Gateway, h.Stream}
		if _, there := first[key]; !there {
			first[key] = h
			order = append(order, key)
		}
	}
	for key := range a.asked {
		if _, still := first[key]; !still {
			delete(a.asked, key) // it got on
		}
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] }) // nobody is always last
	busy := make(map[[2]string]bool)
	asked := 0
	for _, key := range order {
		q := a.asked[key]
		who := [2]string{key.dinas, key.gateway}
		if asked >= budget || busy[who] || now.Before(q.next) {
			continue
		}
		if !a.ask(first[key], now) {
			return asked // there is no broker, so nobody hears the others either
		}
		busy[who] = true
		asked++
		q.times++
		q.next = now.Add(a.pause(q.times))
		a.asked[key] = q
	}
	return asked
}

// pause is how long nothing is asked about a stream after so many questions: twice as
// long each time, and half of it random.
func (a *Asker) pause(times int) time.Duration {
	bound := min(a.After<<min(times, 20), longest)
	if bound <= 0 {
		bound = longest
	}
	return bound/2 + rand.N(bound/2+1)
}

// ask has a gateway send a stream again from the first number on that is missing.
func (a *Asker) ask(h Hole, now time.Time) bool {
	payload, err := json.Marshal(command{
		TX:      txPrefix + uuid.NewString(),
		Expires: now.Add(expires).UTC().Format(time.RFC3339),
		Args:    args{h.Stream.String(), h.From},
	})
	if err != nil {
		return false // texts and a number: it cannot be
	}
	if !a.Publish(fmt.Sprintf("presence/v1/%s/%s/cmd/resync", h.Dinas, h.Gateway), payload) {
		return false
	}
	a.Asked()
	a.Log.Info("asked for missing events", "gateway", h.Dinas+"/"+h.Gateway, "stream", h.Stream, "from", h.From, "to", h.To)
	return true
}

// command is a command as gateways read it.
type command struct {
	TX      string `json:"tx"`
	Expires string `json:"expires"`
	Args    args   `json:"args"`
}

// args is what cmd/resync wants.
type args struct {
	Stream string `json:"stream"`
	Seq    int64  `json:"seq"`
}

// Reply takes what a gateway answers on reply/resync, to whomever.
func (a *Asker) Reply(topic string, payload []byte) {
	var reply struct {
		TX    string `json:"tx"`
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if json.Unmarshal(payload, &reply) != nil || reply.OK || !strings.HasPrefix(reply.TX, txPrefix) {
		return
	}
	a.Refused()
	a.Log.Warn("a gateway does not send missing events", "topic", fmt.Sprintf("%.100q", topic), "why", fmt.Sprintf("%.200q", reply.Error))
}
