package terminal

import (
	"reflect"
	"regexp"
	"slices"
	"testing"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// TestNoTextIsMissing: each text of the table is there in both languages, with the same
// arguments in the same order.
func TestNoTextIsMissing(t *testing.T) {
	verb := regexp.MustCompile(`%[-+ #0-9.]*[a-z]`)
	same := []string{"Gateway", "Roster", "Tag"} // words that are in both languages
	var names []string
	var texts []any
	for _, table := range []reflect.Value{reflect.ValueOf(inWords()), reflect.ValueOf(inBadgeWords())} {
		for i := range table.NumField() {
			names, texts = append(names, table.Type().Field(i).Name), append(texts, table.Field(i).Interface())
		}
	}
	for i, name := range names {
		text, ok := texts[i].(language.Text)
		if !ok {
			t.Errorf("%s is no text", name)
			continue
		}
		en, id := verb.FindAllString(text.EN, -1), verb.FindAllString(text.ID, -1)
		if text.EN == "" || text.ID == "" || !slices.Equal(en, id) || (text.EN == text.ID) != slices.Contains(same, name) {
			t.Errorf("%s: %q, %q", name, text.EN, text.ID)
		}
	}
}

// TestEveryCodeHasWords: what documents and events say in codes is said in words in both
// languages, and a code of a later version stands for itself.
func TestEveryCodeHasWords(t *testing.T) {
	for what, codes := range map[string]struct {
		words func(string) language.Text
		codes []string
	}{
		"reader":   {ReaderState, []string{"ok", "deaf", "bus-dead"}},
		"receiver": {ReceiverState, []string{"ok", "silent", "gone"}},
		"clock":    {ClockState, []string{"synced", "holdover", "unsynced", "trusted"}},
		"level":    {func(s string) language.Text { return GatewayLevel(presence.Level(s)) }, []string{"ok", "warn", "fault"}},
		"alert":    {func(s string) language.Text { return alertLevel(presence.Level(s)) }, []string{"ok", "warn", "fault"}},
		"refusal":  {refusal, []string{"journal-full", "journal-closed", "journal-damaged", "disk-full", "read-only", "write-failed", "stopping", "downgrade", "not-authenticated", "hold-longer", "revoked"}},
		"proof": {proofDetail, []string{
			"absent", "no-ats", "protocol", "gone", "too-slow", "pending", "foreign-ca", "expired", "not-yet-valid", "bad-certificate", "algorithm", "wrong-guid",
			"signature", "mac", "rnd", "wrong-uid", "wrong-key", "no-key", "locked", "paused", "lrp",
		}},
		"loss":      {lossReason, []string{string(presence.GapJournalFull), string(presence.GapJournalDamaged), string(presence.GapWriteFailed), string(presence.GapForgotten), string(presence.GapRolledBack), string(presence.GapForked)}},
		"zone":      {whereabouts, []string{presence.ZoneInside.String(), presence.ZoneOutside.String(), presence.ZoneUncertain.String()}},
		"presence":  {whereabouts, []string{"on_site", "badge_only", "contradiction", "off_site"}},
		"freshness": {freshness, []string{"live", "replay", "unknown"}},
	} {
		for _, code := range codes.codes {
			text := codes.words(code)
			if text.EN == "" || text.ID == "" || text.ID == code || text.EN == text.ID {
				t.Errorf("%s %q: %+v", what, code, text)
			}
		}
		if got := codes.words("later"); got != (language.Text{EN: "later", ID: "later"}) {
			t.Errorf("%s of a later version: %+v", what, got)
		}
	}
}
