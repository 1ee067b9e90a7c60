package city_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/city"
)

// A person's card has another identity at each gateway: the day puts them together, in
// the order of time, each event once and as it was told last.
func TestAPersonsDayOverGateways(t *testing.T) {
	key := cityKey(t)
	uid, _ := hex.DecodeString("04A1B2C3D4E5F6")
	event := func(gateway, id string, rev int, time, rest string) string {
		badge := city.BadgeIdentity(city.GatewayBadgeKey(key, gateway), uid)
		return fmt.Sprintf(`{"id":%q,"rev":%d,"gateway":%q,"dinas":"dinkes","badge":%q,"time":%s,%s}`, id, rev, gateway, badge, time, rest)
	}
	dir := t.TempDir()
	write := func(name string, lines ...string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	badge := `"kind":"badge","time_quality":"synced"`
	guid := city.GUIDOf(uid) // as which the card comes where it has proven who it is
	proven := city.BadgeIdentity(city.GatewayBadgeKey(key, "dinkes-01"), guid[:])
	files := []string{
		write("dinkes-01.jsonl",
			event("dinkes-01", "a-1", 0, `"2026-11-23T16:01:00.000+07:00"`, badge),
			event("dinkes-01", "a-2", 0, `"2026-11-23T07:59:00.000+07:00"`, badge+`,"tag_check":{"tag":"reyax:1","state":"near"}`),
			event("dinkes-01", "a-2", 1, `"2026-11-23T07:29:00.000+07:00"`, badge+`,"tag_check":{"tag":"reyax:1","state":"near"}`),
			event("dinkes-01", "a-2", 0, `"2026-11-23T07:59:00.000+07:00"`, badge), // once more, late
			event("dinkes-01", "a-3", 0, `"2026-11-24T07:30:00.000+07:00"`, badge),
			event("dinkes-01", "a-4", 0, "null", `"kind":"badge","time_quality":"unsynced"`),
			fmt.Sprintf(`{"id":"a-7","gateway":"dinkes-01","dinas":"dinkes","badge":%q,"time":"2026-11-23T12:00:00.000+07:00",%s}`, proven, badge),
			`{"id":"a-5","gateway":"dinkes-01","dinas":"dinkes","kind":"badge","badge":"h:00112233445566778899aabbccddeeff","time":"2026-11-23T08:00:00.000+07:00"}`,
			`{"id":"a-6","gateway":"dinkes-01","dinas":"dinkes","kind":"tag","tag":"reyax:1","time":"2026-11-23T08:00:00.000+07:00"}`),
		write("recorded",
			"presence/v1/dinkes/dinkes-02/event/presence "+event("dinkes-02", "b-1", 0, `"2026-11-23T10:00:00.000+07:00"`, `"kind":"presence","state":"on_site","tag":"reyax:1","time_quality":"synced"`),
			"presence/v1/dinkes/dinkes-02/event/badge "+event("dinkes-02", "b-2", 0, "null", `"kind":"badge","time_quality":"bounded","time_min":"2026-11-23T09:00:00.000+07:00","time_max":"2026-11-23T09:30:00.000+07:00"`), ""),
	}
	moments, err := city.Day("2026-11-23", key, [][]byte{uid}, files)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range moments {
		at := "?"
		if !m.Time.IsZero() {
			at = m.Time.Format("15:04")
		}
		got = append(got, strings.TrimSpace(fmt.Sprint(at, " ", m.Gateway, " ", m.Kind, " ", m.State, m.TagState, " ", m.Tag)))
	}
	want := []string{
		"07:29 dinkes-01 badge near reyax:1", "09:00 dinkes-02 badge", "10:00 dinkes-02 presence on_site reyax:1",
		"12:00 dinkes-01 badge", "16:01 dinkes-01 badge", "? dinkes-01 badge",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the day is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := city.Day("2026-11-23", key, [][]byte{uid}, []string{write("csv", "a;b", `{"id":`)}); err == nil || !strings.Contains(err.Error(), "line 2 of") {
		t.Errorf("a file that is none: %v", err)
	}

	cards := write("cards.csv", "kartu;nip;uid_format=hex-reversed", "F6E5D4C3B2A104;198001012005011001", "C3B2A104;198001012005011001", "C3B2A105;198502022010012002")
	if uids, err := city.Cards("198001012005011001", cards); err != nil || len(uids) != 2 || hex.EncodeToString(uids[0]) != "04a1b2c3d4e5f6" {
		t.Errorf("by a staff number: %x, %v", uids, err)
	}
	if uids, err := city.Cards("04:a1:b2:c3:d4:e5:f6", "nowhere"); err != nil || len(uids) != 1 {
		t.Errorf("by a card's number: %x, %v", uids, err)
	}
	if _, err := city.Cards("nobody", cards); err == nil {
		t.Error("nobody has cards")
	}
}
