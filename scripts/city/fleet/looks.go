package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"presence/scripts/city"
)

// offline says which offices of the list are not there, and why.
func (f *fleet) offline(_ context.Context, desk *city.Desk, offices []city.Office) error {
	now := time.Now()
	away := 0
	for _, o := range offices {
		c := desk.Condition(o, now)
		if c.Line == city.Online {
			continue
		}
		away++
		if err := f.print(o.Name() + ": " + f.inWords(c)); err != nil {
			return err
		}
	}
	if err := f.unlisted(desk, offices); err != nil {
		return err
	}
	if err := f.print(f.say("offline: %d of %d offices are not there", "offline: %d dari %d kantor tidak terhubung", away, len(offices))); err != nil {
		return err
	}
	if away > 0 {
		return errNotWell
	}
	return nil
}

// inWords says in what way a gateway is not there.
func (f *fleet) inWords(c city.Condition) string {
	at := ""
	if !c.Since.IsZero() {
		at = f.say(" since %s", " sejak %s", since(c.Since))
	}
	switch {
	case c.Line == city.Never:
		return f.say("never connected", "belum pernah terhubung")
	case c.Line == city.Silent:
		return f.say("silent%s: connected, and says nothing", "diam%s: terhubung, tetapi tidak melapor", at)
	case c.Reason == "stop":
		return f.say("offline%s: was switched off", "offline%s: dimatikan dengan benar", at)
	case c.Reason == "reload":
		return f.say("offline%s: reads its configuration again", "offline%s: membaca ulang konfigurasi", at)
	}
	return f.say("offline%s: line or power failed without warning", "offline%s: jaringan atau listrik putus mendadak", at)
}

// unlisted names gateways of which the broker knows and the list does not.
func (f *fleet) unlisted(desk *city.Desk, offices []city.Office) error {
	list, err := city.ReadOffices(f.offices)
	if err != nil {
		return err
	}
	if len(offices) < len(list.Offices()) {
		return nil // somebody asks about a few only
	}
	var names []string
	for _, g := range desk.Gateways() {
		o, there := list.Find(g.ID)
		switch {
		case there && o.Dinas != g.Dinas:
			names = append(names, f.say("%s/%s: the list has it in department %s; what the broker keeps of it there: gatewayd-city clear %[1]s %[2]s",
				"%s/%s: di daftar termasuk dinas %s; hapus sisa lamanya: gatewayd-city clear %[1]s %[2]s", g.Dinas, g.ID, o.Dinas))
		case !there:
			names = append(names, f.say("%s/%s: not in the list; gatewayd-city add or retire", "%s/%s: tidak ada di daftar; gatewayd-city add atau retire", g.Dinas, g.ID))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := f.print(name); err != nil {
			return err
		}
	}
	return nil
}

// wrong says all alerts that stand, in words.
func (f *fleet) wrong(_ context.Context, desk *city.Desk, offices []city.Office) error {
	standing, concerned := 0, 0
	for _, o := range offices {
		alerts := desk.Alerts(o)
		if len(alerts) == 0 {
			continue
		}
		concerned++
		if err := f.print(o.Name() + f.contact(o)); err != nil {
			return err
		}
		for _, topic := range slices.Sorted(maps.Keys(alerts)) {
			a, ok := city.ParseAlert(alerts[topic])
			if !ok {
				continue
			}
			standing++
			if err := f.print(fmt.Sprintf("  %s%s: %s", strings.TrimPrefix(topic, "alert/"), f.when(a), a.Text(f.indonesian))); err != nil {
				return err
			}
		}
	}
	if err := f.print(f.say("wrong: %d alerts at %d of %d offices", "masalah: %d peringatan di %d dari %d kantor", standing, concerned, len(offices))); err != nil {
		return err
	}
	if standing > 0 {
		return errNotWell
	}
	return nil
}

// contact is whom to call, in brackets.
func (f *fleet) contact(o city.Office) string {
	if o.Contact == "" {
		return ""
	}
	return f.say(", call %s", ", hubungi %s", o.Contact)
}

// when says since when an alert stands and how grave it is.
func (f *fleet) when(a city.Alert) string {
	level := map[string]string{"fault": f.say("fault", "gangguan"), "warn": f.say("warning", "peringatan")}[a.Level]
	if level == "" {
		level = f.say("hint", "petunjuk")
	}
	if t, err := time.Parse(time.RFC3339, a.Since); err == nil {
		return " (" + level + f.say(" since %s", " sejak %s", since(t)) + ")"
	}
	return " (" + level + ")"
}

// clear clears what the broker keeps of a gateway that is no more: of a department and
// an id.
func (f *fleet) clear(ctx context.Context, words []string) error {
	if len(words) != 2 {
		return usageError{errors.New("want DINAS ID")}
	}
	o := city.Office{Dinas: words[0], ID: words[1]}
	return f.atTheBroker(func(ctx context.Context, desk *city.Desk, _ []city.Office) error {
		n, err := desk.Clear(ctx, o)
		if err != nil {
			return err
		}
		return f.print(f.say("%s: %d topics cleared", "%s: %d topik dihapus", o.Name(), n))
	})(ctx, nil)
}

// publish publishes the documents that lie in the folder, waits, and says who has them.
func (f *fleet) publish(ctx context.Context, desk *city.Desk, offices []city.Office) error {
	if err := desk.PublishDocuments(ctx, f.folder, city.Kind(f.kind), offices); err != nil {
		return err
	}
	online, err := f.taken(ctx, desk, city.Kind(f.kind), offices)
	if err == nil && online > 0 {
		err = errNotWell
	}
	return err
}

// documents says of all kinds who goes by what was published last; of those for badges
// only where a city has some. It is no failure that somebody is offline.
func (f *fleet) documents(ctx context.Context, desk *city.Desk, offices []city.Office) error {
	for _, k := range city.Kinds() {
		if _, err := os.Stat(filepath.Join(f.folder, string(k))); err != nil && k != city.Hours && k != city.Roster {
			continue
		}
		if _, err := f.taken(ctx, desk, k, offices); err != nil {
			return err
		}
	}
	return nil
}

// taken says what became of the documents of a kind, and how many gateways have theirs.
// wrong counts those that are online and do not: the others take theirs later.
func (f *fleet) taken(ctx context.Context, desk *city.Desk, k city.Kind, offices []city.Office) (wrong int, err error) {
	if err := desk.AwaitTaken(ctx, f.folder, k, offices, f.wait); err != nil {
		return 0, err
	}
	taken, published := 0, 0
	for _, o := range offices {
		t, err := desk.Taken(f.folder, k, o, f.indonesian)
		if err != nil {
			return 0, err
		}
		if t.Serial == 0 {
			continue
		}
		published++
		if t.Done() {
			taken++
			continue
		}
		if t.Line == city.Online {
			wrong++
		}
		if err := f.print(o.Name() + ": " + f.notTaken(t)); err != nil {
			return 0, err
		}
	}
	name := map[city.Kind]string{
		city.Hours: f.say("hours", "jam kerja"), city.Roster: f.say("roster", "roster"),
		city.BadgeRevoked: f.say("lost badges", "kartu hilang"), city.BadgeKeys: f.say("badge keys", "kunci kartu"),
	}[k]
	if published == 0 {
		return 0, f.print(f.say("%s: nothing was published", "%s: belum ada yang diterbitkan", name))
	}
	return wrong, f.print(f.say("%s: %d of %d gateways have taken it", "%s: %d dari %d gateway sudah memakainya", name, taken, published))
}

// notTaken says why a gateway does not go by a document yet.
func (f *fleet) notTaken(t city.Taken) string {
	switch {
	case t.Line == city.Never:
		return f.say("never connected; takes it when it does", "belum pernah terhubung; akan memakainya begitu terhubung")
	case t.Line != city.Online:
		return f.say("offline; takes it when it is back", "offline; akan memakainya begitu terhubung lagi")
	case t.Refused != "":
		return f.say("refuses it: %s", "menolaknya: %s", t.Refused)
	case t.InForce == 0:
		return f.say("has not taken it and goes by its own configuration: does it know the city's key (city.key_file)?",
			"belum memakainya dan masih mengikuti konfigurasinya sendiri: apakah kunci kota (city.key_file) ada di sana?")
	case t.InForce > t.Serial:
		return f.say("has a newer one: it was signed elsewhere", "memakai yang lebih baru: ditandatangani di tempat lain")
	}
	return f.say("has an older one, of %s", "masih memakai yang lama, dari %s", since(time.Unix(int64(min(t.InForce, 1<<40)), 0)))
}
