package month

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Zones of Indonesia, which knows no summer time.
const (
	wib  = "Asia/Jakarta"
	wita = "Asia/Makassar"
	wit  = "Asia/Jayapura"
)

// Office is a place with a gateway.
type Office struct {
	ID, Dinas, Zone string

	attempts []*attempt
	failures []failure
	said     []saying
	events   []*Event
	streams  [][]*Event // the same, by stream
	removed  bool       // the gateway sends nothing at all
}

// Person works at an office.
type Person struct {
	NIP, Name     string
	Office        *Office
	Second        *Office // a further place of work; nil: none
	Anywhere      bool    // the department knows of no usual office
	Joined, Left  time.Time
	Badges        []Badge
	Notes         []Note
	contradiction map[time.Time]int // minutes, by day
}

// Badge is a card that a person has for a time, as one gateway calls it.
type Badge struct {
	Office   *Office
	ID       string
	From, To time.Time // wall clock; zero: from ever, for ever
}

// Note is what the personnel office writes down of a person's day.
type Note struct {
	Day  time.Time
	Kind string
	At   time.Time // of manual-in and manual-out
}

// Rule is from how many seconds on something costs how much percent.
type Rule struct {
	Kind    string
	FromS   int
	Percent float64
}

// City is a simulated month.
type City struct {
	First, Last time.Time // its days
	Offices     []*Office
	People      []*Person
	Rules       []Rule

	random *rand.Rand
	cards  int
}

// Days are the days of the month.
func (c *City) Days() (days []time.Time) {
	for d := c.First; !d.After(c.Last); d = d.AddDate(0, 0, 1) {
		days = append(days, d)
	}
	return days
}

// date is a day of March 2024, the month that is simulated: it has the begin of Ramadan,
// holidays on weekdays, and lies in the past whatever a clock says.
func date(day int) time.Time { return time.Date(2024, time.March, day, 0, 0, 0, 0, time.UTC) }

// New simulates the month in so many offices with so many people each. The same seed
// makes the same month.
func New(seed uint64, offices, people int) *City {
	c := &City{First: date(1), Last: date(31), random: rand.New(rand.NewPCG(seed, 17))}
	c.Rules = []Rule{
		{"late", 31, 0.5},
		{"late", 1801, 1},
		{"late", 3601, 1.25},
		{"late", 5401, 1.5},
		{"early", 31, 0.5},
		{"early", 1801, 1},
		{"early", 3601, 1.25},
		{"early", 5401, 1.5},
		{"absent", 0, 3},
	}
	zones := []string{wib, wib, wib, wita, wit}
	for i := range offices {
		dinas := i % max(1, offices/5)
		c.Offices = append(c.Offices, &Office{
			ID: fmt.Sprintf("d%02d-%03d", dinas, i), Dinas: fmt.Sprintf("d%02d", dinas), Zone: zones[dinas%len(zones)],
		})
	}
	for _, o := range c.Offices {
		c.fail(o)
		for range people {
			c.hire(o)
		}
	}
	for _, p := range c.People {
		for _, d := range c.Days() {
			if h := p.Hours(d); h.Works() && p.Employed(d) {
				c.live(p, d, h)
			}
		}
	}
	for i, o := range c.Offices {
		o.removed = i == len(c.Offices)-1 && len(c.Offices) > 1 // that has never sent anything
		c.record(o)
		o.accuse(c.People)
	}
	return c
}

// Employed reports whether somebody works for the city on a day.
func (p *Person) Employed(d time.Time) bool {
	return !d.Before(p.Joined) && (p.Left.IsZero() || !d.After(p.Left))
}

// hire makes a person with a badge. Some work at two offices, join or leave within the
// month, or lose their badge and get another one.
func (c *City) hire(o *Office) {
	n := len(c.People)
	p := &Person{
		NIP: fmt.Sprintf("19800101%010d", n), Name: fmt.Sprintf("Orang %d", n), Office: o, contradiction: make(map[time.Time]int),
	}
	c.People = append(c.People, p)
	switch n % 23 {
	case 3:
		p.Left = date(14)
	case 7:
		p.Joined = date(13)
	case 15:
		p.Anywhere = true
	case 11:
		p.Second = c.Offices[c.random.IntN(len(c.Offices))]
	}
	c.card(p, o)
	if p.Second == o {
		p.Second = nil
	}
	if p.Second != nil {
		c.card(p, p.Second)
	}
	switch n % 17 {
	case 5: // lost in the morning of the 12th
		p.Badges[0].To = date(12).Add(8*time.Hour + 5*time.Minute)
		c.card(p, o).From = p.Badges[0].To
	case 6: // gets the card that was lost
		if lost := c.People[n-1].Badges[0]; lost.Office == o {
			p.Badges = append(p.Badges, Badge{Office: o, ID: lost.ID, From: lost.To})
		}
	}
}

func (c *City) card(p *Person, o *Office) *Badge {
	c.cards++
	p.Badges = append(p.Badges, Badge{Office: o, ID: fmt.Sprintf("h:%032x", c.cards)})
	return &p.Badges[len(p.Badges)-1]
}

// badge is the card that a person has at an office at a time.
func (p *Person) badge(o *Office, at time.Time) string {
	for _, b := range p.Badges {
		if b.Office == o && !at.Before(b.From) && (b.To.IsZero() || at.Before(b.To)) {
			return b.ID
		}
	}
	return ""
}

// between is a random duration, in whole milliseconds, both ends included.
func (c *City) between(from, to time.Duration) time.Duration {
	return from + time.Duration(c.random.Int64N(int64((to-from)/time.Millisecond)+1))*time.Millisecond
}

// Message is what a gateway publishes.
type Message struct {
	Topic   string
	Payload []byte
}

// Messages are what the gateway sends, in order.
func (o *Office) Messages() (all []Message) {
	for _, e := range o.events {
		if e.Lost {
			continue
		}
		for _, payload := range e.JSON() {
			all = append(all, Message{"presence/v1/" + o.Dinas + "/" + o.ID + "/event/" + e.Kind, payload})
		}
	}
	return all
}

// Reported are the outages that nobody can see in the events, and that the personnel
// office knows from elsewhere: from and to.
func (o *Office) Reported() (all [][2]time.Time) {
	for _, f := range o.failures {
		if f.kind == deaf {
			all = append(all, [2]time.Time{f.from, f.to})
		}
	}
	return all
}

// Contradiction is for how many minutes of a day the tag was surely elsewhere.
func (p *Person) Contradiction(d time.Time) int { return p.contradiction[d] }

// Decided reports whether a human has decided the day, whatever happened.
func (p *Person) Decided(d time.Time) bool {
	excuse, accepted, _, _ := p.noted(d)
	return excuse != "" || accepted
}
