package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"presence/scripts/city"
)

// list prints id and department of each office, for scripts.
func (f *fleet) list(context.Context, []string) error {
	list, err := city.ReadOffices(f.offices)
	if err != nil {
		return err
	}
	for _, o := range list.Offices() {
		if err := f.print(o.ID + "\t" + o.Dinas + "\t" + o.Place); err != nil {
			return err
		}
	}
	return nil
}

// cellsOf reads cells such as place=Dinoyo.
func (f *fleet) cellsOf(words []string) (map[string]string, error) {
	cells := make(map[string]string)
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, usageError{errors.New(f.say("%q is no cell of the list: write place=\"Puskesmas Dinoyo\"", "%q bukan isi kolom: tulis place=\"Puskesmas Dinoyo\"", word))}
		}
		cells[name] = value
	}
	return cells, nil
}

// add adds an office: id, department and other cells.
func (f *fleet) add(_ context.Context, words []string) error {
	if len(words) < 2 {
		return usageError{errors.New("want ID DINAS [COLUMN=VALUE]")}
	}
	list, err := city.ReadOffices(f.offices)
	if err != nil {
		return err
	}
	cells, err := f.cellsOf(words[2:])
	if err != nil {
		return err
	}
	cells["id"], cells["dinas"] = words[0], words[1]
	return list.Add(cells)
}

// change changes cells of an office.
func (f *fleet) change(_ context.Context, words []string) error {
	if len(words) < 2 {
		return usageError{errors.New("want ID and COLUMN=VALUE")}
	}
	list, err := city.ReadOffices(f.offices)
	if err != nil {
		return err
	}
	cells, err := f.cellsOf(words[1:])
	if err != nil {
		return err
	}
	return list.Change(words[0], cells)
}

// removeOffice takes an office out of the list.
func (f *fleet) removeOffice(_ context.Context, words []string) error {
	if len(words) != 1 {
		return usageError{errors.New("want ID")}
	}
	list, err := city.ReadOffices(f.offices)
	if err != nil {
		return err
	}
	return list.Remove(words[0])
}

// holiday writes a holiday into a copy of a file with working hours.
func (f *fleet) holiday(_ context.Context, words []string) error {
	if len(words) != 3 {
		return usageError{errors.New("want DATE FROM.json TO.json")}
	}
	hours, err := city.ReadHoursFile(words[1])
	if err != nil {
		return err
	}
	if err := hours.Holiday(words[0], f.remove); err != nil {
		return usageError{err}
	}
	return hours.WriteTo(words[2])
}

// period writes a period into a copy of a file with working hours.
func (f *fleet) period(_ context.Context, words []string) error {
	if len(words) < 5 {
		return usageError{errors.New("want FROM.json TO.json FIRST-DAY LAST-DAY DAY=HOURS")}
	}
	hours, err := city.ReadHoursFile(words[0])
	if err != nil {
		return err
	}
	if err := hours.Period(words[2], words[3], words[4:]); err != nil {
		return usageError{err}
	}
	return hours.WriteTo(words[1])
}

// day prints what gateways recorded of a person on a day.
func (f *fleet) day(_ context.Context, words []string) error {
	if len(words) < 3 {
		return usageError{errors.New("want PERSON DATE FILE")}
	}
	if _, err := time.Parse(time.DateOnly, words[1]); err != nil {
		return usageError{errors.New(f.say("%q is no date: write it such as 2026-12-25", "%q bukan tanggal: tulis seperti 2026-12-25", words[1]))}
	}
	uids, err := city.Cards(words[0], f.cards)
	if err != nil {
		return err
	}
	key, err := city.ReadBadgeKey(f.badgeKey)
	if err != nil {
		return err
	}
	moments, err := city.Day(words[1], key, uids, words[2:])
	if err != nil {
		return err
	}
	names := make(map[string]string)
	if list, err := city.ReadOffices(f.offices); err == nil { // else ids have to do
		for _, o := range list.Offices() {
			names[o.ID] = o.Name()
		}
	}
	for _, m := range moments {
		name := names[m.Gateway]
		if name == "" {
			name = m.Dinas + "/" + m.Gateway
		}
		if err := f.print(f.clock(m) + "  " + name + "  " + f.what(m)); err != nil {
			return err
		}
	}
	return f.print(f.say("day: %d moments on %s in %d files", "hari: %d catatan pada %s dari %d berkas", len(moments), words[1], len(words)-2))
}

// clock is the time of a moment, and how well it is known.
func (f *fleet) clock(m city.Moment) string {
	switch {
	case m.Time.IsZero():
		return f.say("time unknown", "waktu tidak diketahui")
	case m.Quality == "bounded":
		return f.say("%s or later", "%s atau sesudahnya", m.Time.Format("15:04:05"))
	}
	return m.Time.Format("15:04:05")
}

// what says what was recorded.
func (f *fleet) what(m city.Moment) string {
	if m.Kind == "badge" {
		text := f.say("badge shown", "kartu ditempel")
		if state := f.tagState(m.TagState); state != "" {
			text += fmt.Sprintf("; tag %s %s", m.Tag, state)
		}
		return text
	}
	return map[string]string{
		"on_site":       f.say("on site: the tag is inside", "di kantor: tag ada di dalam"),
		"badge_only":    f.say("badge only: nothing is heard of the tag", "kartu saja: tag tidak terdengar"),
		"contradiction": f.say("contradiction: the tag is outside; a reason to ask, never a proof", "bertentangan: tag ada di luar; alasan untuk bertanya, bukan bukti"),
		"off_site":      f.say("not on site", "tidak di kantor"),
	}[m.State]
}

func (f *fleet) tagState(state string) string {
	return map[string]string{
		"near": f.say("near", "dekat"), "far": f.say("far", "jauh"), "silent": f.say("silent", "tidak terdengar"),
		"conflict": f.say("heard at two places", "terdengar di dua tempat"),
	}[state]
}
