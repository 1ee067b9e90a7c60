// Package receipts tells gateways what the city's database has of their events.
//
// It exists because a gateway deletes what is receipted: a receipt is sent only for what
// was committed, and where gateways have the city's key it counts only signed. A receipt
// that is lost does no harm, as the gateway sends the event again and gets another one.
package receipts

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// Receipt says that the city has all events of a stream up to one of them, but for those
// that a gap names.
type Receipt struct {
	Dinas, Gateway string
	Stream         uuid.UUID
	Upto           int64  // from 1
	Link           []byte // of that event; nil: it has none
	// Revised are corrections of the stream's events that were stored.
	Revised []Revised
}

// Revised names a correction.
type Revised struct {
	Seq int64 `json:"seq"`
	Rev int32 `json:"rev"` // from 1
}

// maxRevised is how many corrections one receipt names: gateways refuse one of more than
// 16 KiB.
const maxRevised = 200

// Topic is where the receipt is published.
func (r *Receipt) Topic() string {
	return "presence/v1/" + r.Dinas + "/" + r.Gateway + "/receipt"
}

// Payload is the receipt as gateways read it, signed if there is a key. What is signed is
// the text "gatewayd receipt v1", department, gateway, stream, upto and, only where there
// are any, link and corrections, joined by line feeds (MESSAGES.md).
func (r *Receipt) Payload(key ed25519.PrivateKey) ([]byte, error) {
	said := struct {
		Stream  string    `json:"stream"`
		Upto    int64     `json:"upto"`
		Link    string    `json:"link,omitempty"`
		Revised []Revised `json:"revised,omitempty"`
		Sig     string    `json:"sig,omitempty"`
	}{Stream: r.Stream.String(), Upto: r.Upto, Link: hex.EncodeToString(r.Link), Revised: r.Revised}
	if key != nil {
		parts := []string{"gatewayd receipt v1", r.Dinas, r.Gateway, said.Stream, strconv.FormatInt(r.Upto, 10)}
		if said.Link != "" {
			parts = append(parts, said.Link)
		}
		if len(r.Revised) > 0 {
			all := "revised"
			for _, c := range r.Revised {
				all += fmt.Sprintf(" %d:%d", c.Seq, c.Rev)
			}
			parts = append(parts, all)
		}
		said.Sig = base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(strings.Join(parts, "\n"))))
	}
	payload, err := json.Marshal(said)
	if err != nil {
		return nil, fmt.Errorf("make receipt: %w", err)
	}
	return payload, nil
}

// window is how many receipts are on their way to a broker at most.
const window = 1000

// Desk sends receipts to one broker. Of a stream only the newest waits: it says all that
// those before it say, of corrections too until it names as many as one can.
type Desk struct {
	// Key is the city's key; nil: receipts are not signed.
	Key ed25519.PrivateKey
	// Sent is called after each receipt that was handed to the broker.
	Sent func()

	mu      sync.Mutex
	open    bool // there is a connection
	waiting map[stream]int
	order   []Receipt
	there   chan struct{}
}

// stream is what a receipt is about.
type stream struct {
	dinas, gateway string
	id             uuid.UUID
}

// NewDesk makes a desk.
func NewDesk(key ed25519.PrivateKey, sent func()) *Desk {
	return &Desk{Key: key, Sent: sent, waiting: make(map[stream]int), there: make(chan struct{}, 1)}
}

// Add has a receipt sent soon. While the broker is not connected it is dropped: nobody
// would hear it.
func (d *Desk) Add(r Receipt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open || r.Upto < 1 {
		return
	}
	key := stream{r.Dinas, r.Gateway, r.Stream}
	if at, waits := d.waiting[key]; waits {
		before := &d.order[at]
		if r.Upto > before.Upto {
			before.Upto, before.Link = r.Upto, r.Link
		}
		room := min(maxRevised-len(before.Revised), len(r.Revised))
		before.Revised = append(before.Revised, r.Revised[:room]...)
		if r.Revised = r.Revised[room:]; len(r.Revised) == 0 {
			return
		}
	}
	for {
		part := r
		n := min(maxRevised, len(r.Revised))
		part.Revised = slices.Clone(r.Revised[:n])
		d.waiting[key] = len(d.order)
		d.order = append(d.order, part)
		if r.Revised = r.Revised[n:]; len(r.Revised) == 0 {
			break
		}
	}
	select {
	case d.there <- struct{}{}:
	default:
	}
}

// Run sends receipts over one connection until the context ends.
func (d *Desk) Run(ctx context.Context, publish func(topic string, payload []byte) <-chan struct{}) {
	d.setOpen(true)
	defer d.setOpen(false)
	var sent []<-chan struct{} // that the broker has not acknowledged, as far as known
	for {
		select {
		case <-d.there:
		case <-ctx.Done():
			return
		}
		for _, r := range d.take() {
			if len(sent) == window {
				select {
				case <-sent[0]:
					sent = sent[1:]
				case <-ctx.Done():
					return
				}
			}
			payload, err := r.Payload(d.Key)
			if err != nil {
				continue // texts and numbers: it cannot be
			}
			sent = append(sent, publish(r.Topic(), payload))
			d.Sent()
		}
	}
}

func (d *Desk) take() []Receipt {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.order
	d.order = nil
	clear(d.waiting)
	return now
}

func (d *Desk) setOpen(open bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = open
	d.order = nil
	clear(d.waiting)
}
