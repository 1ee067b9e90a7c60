package city

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// Kind is a kind of signed document.
type Kind string

// The kinds, as they are called in the payload.
const (
	Hours        Kind = "hours"
	Roster       Kind = "roster"
	BadgeRevoked Kind = "badge-revoked"
	BadgeKeys    Kind = "badge-keys"
)

// Kinds are all that there are.
func Kinds() []Kind { return []Kind{Hours, Roster, BadgeRevoked, BadgeKeys} }

// topic is where documents of this kind are published, below the gateway.
func (k Kind) topic() string {
	if k == Hours {
		return "policy/hours"
	}
	return string(k)
}

// refusedAlert is the alert of a gateway that has refused a document of this kind.
func (k Kind) refusedAlert() string {
	if k == BadgeRevoked || k == BadgeKeys {
		return "badge-ca"
	}
	return string(k) + "-refused"
}

// DocumentFile is where the city keeps what it published last for a gateway.
func DocumentFile(folder string, k Kind, o Office) string {
	return filepath.Join(folder, string(k), o.Dinas+"_"+o.ID+".json") // no id has a "_"
}

// PublishedSerial is the serial of the document that the city published last for a
// gateway, 0 if there is none.
func PublishedSerial(folder string, k Kind, o Office) (uint64, error) {
	message, err := os.ReadFile(DocumentFile(folder, k, o))
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read document: %w", err)
	}
	return serialOf(message)
}

func serialOf(message []byte) (uint64, error) {
	var envelope struct{ Payload []byte }
	var payload struct{ Serial uint64 }
	if err := json.Unmarshal(message, &envelope); err != nil {
		return 0, fmt.Errorf("read document: %w", err)
	}
	if err := json.Unmarshal(envelope.Payload, &payload); err != nil {
		return 0, fmt.Errorf("read document: %w", err)
	}
	return payload.Serial, nil
}

// Taken is what became of a document at a gateway.
type Taken struct {
	Office
	Serial  uint64 // that was published; 0: none was
	InForce uint64 // of the signed document that the gateway goes by; 0: its own configuration
	Line    Line
	Refused string // why the gateway refuses it, in the language asked for; "" if it does not
}

// Done reports whether the gateway goes by what was published last.
func (t Taken) Done() bool { return t.Serial > 0 && t.InForce == t.Serial }

// Taken tells what became of the documents that were published last. The desk has to
// listen to status, health and alerts.
func (d *Desk) Taken(folder string, k Kind, o Office, indonesian bool) (Taken, error) {
	serial, err := PublishedSerial(folder, k, o)
	if err != nil {
		return Taken{}, err
	}
	s, c := d.where(o, time.Now())
	h := s.health(o)
	t := Taken{Office: o, Serial: serial, Line: c.Line, InForce: h.serial(k)}
	if alert, ok := ParseAlert(s.of(o, "alert/"+k.refusedAlert())); ok && !t.Done() {
		t.Refused = alert.Text(indonesian)
	}
	return t, nil
}

// PublishDocuments publishes the documents of some gateways that lie in the folder.
func (d *Desk) PublishDocuments(ctx context.Context, folder string, k Kind, offices []Office) error {
	for _, o := range offices {
		message, err := os.ReadFile(DocumentFile(folder, k, o))
		if err != nil {
			return fmt.Errorf("read document: %w", err)
		}
		if err := d.Publish(ctx, o.Dinas+"/"+o.ID+"/"+k.topic(), true, message); err != nil {
			return err
		}
	}
	return nil
}

// refusalHolds is after how long an alert about a refused document is believed to be
// about the newest one, and not the one before.
const refusalHolds = 5 * time.Second

// AwaitTaken waits for at most so long until those gateways that are online have taken or
// refused the documents that were published last. It asks them: what the broker keeps of
// them can be as old as health.quiet_interval.
func (d *Desk) AwaitTaken(ctx context.Context, folder string, k Kind, offices []Office, wait time.Duration) error {
	waiting := make(map[Office]uint64) // serials that were published
	for _, o := range offices {
		t, err := d.Taken(folder, k, o, false)
		if err != nil {
			return err
		}
		if t.Serial > 0 && t.Line == Online && !t.Done() {
			waiting[o] = t.Serial
		}
	}
	deadline, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for begun := time.Now(); len(waiting) > 0 && deadline.Err() == nil; {
		for o, serial := range waiting {
			if err := d.request(ctx, o, map[string]uint64{k.topic(): serial}, wait); err != nil {
				return err
			}
		}
		d.settle(deadline, folder, k, waiting, 2*time.Second)
		if time.Since(begun) > refusalHolds {
			maps.DeleteFunc(waiting, func(o Office, _ uint64) bool {
				t, err := d.Taken(folder, k, o, false)
				return err == nil && t.Refused != ""
			})
		}
	}
	return nil
}

// settle takes those off the list that have taken their documents. A refusal does not
// count: the alert may still be about the document before.
func (d *Desk) settle(ctx context.Context, folder string, k Kind, waiting map[Office]uint64, atMost time.Duration) {
	end := time.After(atMost)
	for len(waiting) > 0 {
		select {
		case <-d.came:
		case <-end:
			return
		case <-ctx.Done():
			return
		}
		maps.DeleteFunc(waiting, func(o Office, _ uint64) bool {
			t, err := d.Taken(folder, k, o, false)
			return err == nil && t.Done()
		})
	}
}

// Alert is an alert as a gateway publishes it.
type Alert struct {
	Code, Level, Since string
	ID, EN             string // the text in Indonesian and in English
}

// ParseAlert reads an alert; false if there is none.
func ParseAlert(payload []byte) (a Alert, ok bool) {
	return a, len(payload) > 0 && json.Unmarshal(payload, &a) == nil && a.Code != ""
}

// Text is what it says.
func (a Alert) Text(indonesian bool) string {
	if indonesian && a.ID != "" {
		return a.ID
	}
	return a.EN
}
