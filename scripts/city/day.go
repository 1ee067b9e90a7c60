package city

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Moment is one thing that a gateway recorded of a person.
type Moment struct {
	Gateway, Dinas string
	Kind           string // badge or presence
	Time           time.Time
	Quality        string // how well the time is known; Time is zero with "unsynced"
	State          string // presence: on_site and so on
	Tag            string // the tag that belongs to the person, where the event names it
	TagState       string // badge: where that tag was
}

// event is as much of an event as a person's day needs.
type event struct {
	ID             string
	Rev            int
	Gateway, Dinas string
	Kind, Badge    string
	Time           *time.Time
	TimeMin        *time.Time `json:"time_min"`
	TimeQuality    string     `json:"time_quality"`
	State, Tag     string
	TagCheck       struct{ Tag, State string } `json:"tag_check"`
}

// Day is what gateways recorded of a person on a day (2006-01-02, as the office's clock
// showed it), in the order of time, with what nobody knows the time of at its end. The
// badge of a card is another one at each gateway, so it takes the UIDs (or GUIDs) of the
// person's cards and the city's badge key; uids holds all cards if there are several. The events
// are a JSON object on each line of the files, as "gatewayd export" or a database writes
// them; what stands before the object, such as a topic, is passed over. Of each event
// the highest revision counts.
func Day(day string, key [32]byte, uids [][]byte, files []string) ([]Moment, error) {
	events := make(map[string]event)
	badges := make(map[string][]string) // of the person, by gateway
	for _, file := range files {
		err := readEvents(file, func(e event) {
			own, known := badges[e.Gateway]
			if !known {
				own = identities(GatewayBadgeKey(key, e.Gateway), uids)
				badges[e.Gateway] = own
			}
			if before, there := events[e.ID]; slices.Contains(own, e.Badge) && (!there || e.Rev > before.Rev) {
				events[e.ID] = e
			}
		})
		if err != nil {
			return nil, err
		}
	}
	var moments []Moment
	for _, e := range events {
		m := e.moment()
		if m.Time.IsZero() || m.Time.Format(time.DateOnly) == day {
			moments = append(moments, m)
		}
	}
	slices.SortFunc(moments, Moment.compare)
	return moments, nil
}

// identities are the names under which cards can come from a gateway: of the UID, or of the
// GUID where the card has proven who it is.
func identities(key [32]byte, cards [][]byte) (names []string) {
	for _, id := range cards {
		names = append(names, BadgeIdentity(key, id), strings.ToUpper(hex.EncodeToString(id)))
		if !isGUID(id) {
			guid := GUIDOf(id)
			names = append(names, BadgeIdentity(key, guid[:]), strings.ToUpper(hex.EncodeToString(guid[:])))
		}
	}
	return names
}

// compare puts moments in the order of time, those of unknown time last.
func (m Moment) compare(n Moment) int {
	switch {
	case m.Time.IsZero() && !n.Time.IsZero():
		return 1
	case !m.Time.IsZero() && n.Time.IsZero():
		return -1
	}
	return cmp.Or(m.Time.Compare(n.Time), strings.Compare(m.Gateway, n.Gateway))
}

func (e event) moment() Moment {
	m := Moment{Gateway: e.Gateway, Dinas: e.Dinas, Kind: e.Kind, Quality: e.TimeQuality, State: e.State, Tag: e.Tag}
	switch {
	case e.Time != nil:
		m.Time = *e.Time
	case e.TimeMin != nil:
		m.Time = *e.TimeMin
	}
	if e.Kind == "badge" {
		m.Tag, m.TagState = e.TagCheck.Tag, e.TagCheck.State
	}
	return m
}

// readEvents reads the events about badges of a file.
func readEvents(path string, each func(event)) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for line := 1; lines.Scan(); line++ {
		_, object, found := bytes.Cut(lines.Bytes(), []byte("{"))
		if !found {
			continue
		}
		var e event
		if err := json.Unmarshal(slices.Concat([]byte("{"), object), &e); err != nil {
			return fmt.Errorf("read events: line %d of %s is no event: want a JSON object on each line, as gatewayd export prints them", line, path)
		}
		if e.Kind == "badge" || e.Kind == "presence" {
			each(e)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read events: %s: %w", path, err)
	}
	return nil
}
