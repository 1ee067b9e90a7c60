package staff

import (
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

const (
	in        = presence.ZoneInside
	out       = presence.ZoneOutside
	uncertain = presence.ZoneUncertain
)

type zones = map[string]presence.Zone

// One day of Ana's, told by what her badge and her tag do.
func TestStatesOfADay(t *testing.T) { //nolint:funlen // a table of cases
	for _, tc := range []struct {
		name string
		day  func(*scene)
		want []string
	}{
		{"at work all day", func(d *scene) {
			d.tap(ana)
			d.stay("12:00", zones{anasTag: in})
			d.until("13:00")
			d.stay("18:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site"}},
		{"the tag is silent", func(d *scene) {
			d.until("09:00")
			d.tap(ana)
			d.until("11:00")
		}, []string{"mon 09:00 badge_only"}},
		{"the tag is inside and the badge forgotten", func(d *scene) {
			d.stay("12:00", zones{anasTag: in})
		}, nil},
		{"only the tag is there", func(d *scene) {
			d.stay("12:00", zones{anasTag: out})
		}, nil},
		{"shown and left", func(d *scene) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			d.stay("09:00", zones{anasTag: out})
		}, []string{"mon 08:01 on_site", "mon 08:16 contradiction"}},
		{"shown by a colleague", func(d *scene) {
			d.stay("08:30", zones{anasTag: out})
			d.tap(ana)
			d.stay("12:00", zones{anasTag: out})
		}, []string{"mon 08:36 contradiction"}},
		{"left and came back", func(d *scene) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			d.stay("09:00", zones{anasTag: out})
			d.stay("10:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site", "mon 08:16 contradiction", "mon 09:01 on_site"}},
		{"comes by the road and taps at the door", func(d *scene) {
			d.stay("08:30", zones{anasTag: out})
			d.tap(ana)
			d.stay("08:33", zones{anasTag: out})
			d.stay("12:00", zones{anasTag: in})
		}, []string{"mon 08:34 on_site"}},
		{"out for five minutes less a little", func(d *scene) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			d.stay("08:15", zones{anasTag: out})
			d.stay("12:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site"}},
		{"one fix in between says otherwise", func(d *scene) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			for _, minute := range []string{"08:14", "08:19", "08:24", "08:29"} {
				d.stay(minute, zones{anasTag: out})
				d.stay(d.time.Add(time.Minute).Format("15:04"), zones{anasTag: uncertain})
			}
		}, []string{"mon 08:01 on_site"}},
		{"silent from out there", func(d *scene) {
			d.tap(ana)
			d.stay("08:10", zones{anasTag: in})
			d.stay("08:14", zones{anasTag: out})
			d.until("12:00")
		}, []string{"mon 08:01 on_site", "mon 08:19 badge_only"}},
		{"a contradiction ends with a silence", func(d *scene) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: out})
			d.until("10:00")
		}, []string{"mon 08:06 contradiction", "mon 09:05 badge_only"}},
		{"a contradiction ends with the badge", func(d *scene) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: out})
			d.until("09:03")
			d.expect(ana, "mon 08:06 contradiction")
			d.tap(ana)
			d.until("09:04")
		}, []string{"mon 08:06 contradiction", "mon 09:03 badge_only"}},
		{"a contradiction ends with a doubt", func(d *scene) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: out})
			d.stay("10:00", zones{anasTag: uncertain})
		}, []string{"mon 08:06 contradiction", "mon 09:01 badge_only"}},
		{"uncertain from the beginning", func(d *scene) {
			d.stay("09:00", zones{anasTag: uncertain})
			d.tap(ana)
			d.stay("10:00", zones{anasTag: uncertain})
		}, []string{"mon 09:06 badge_only"}},
		{"late from lunch", func(d *scene) {
			d.tap(ana)
			d.stay("11:58", zones{anasTag: in})
			d.tags[anasTag].interval = time.Hour // so that the break is no silence
			d.stay("12:00", zones{anasTag: out})
			d.until("13:00")
			d.stay("13:05", zones{anasTag: out})
			d.stay("14:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site"}},
		{"too late from lunch", func(d *scene) {
			d.tap(ana)
			d.stay("12:00", zones{anasTag: in})
			d.until("13:00")
			d.stay("13:30", zones{anasTag: out})
			d.stay("14:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site", "mon 13:06 contradiction", "mon 13:31 on_site"}},
		{"not heard in the break", func(d *scene) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: out})
			d.stay("12:00", zones{anasTag: out})
			d.until("13:01")
			d.stay("13:10", zones{anasTag: out})
		}, []string{"mon 08:06 contradiction"}},
		{"shown again while the tag is elsewhere", func(d *scene) {
			d.tap(ana)
			d.stay("08:04", zones{anasTag: out})
			d.tap(ana)
			d.stay("08:30", zones{anasTag: out})
		}, []string{"mon 08:10 contradiction"}},
		{"a new day", func(d *scene) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: in})
			d.time = d.at("tue 07:20")
			d.tap(ana)
			d.stay("tue 09:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site", "tue 07:31 on_site"}},
		{"absent the next day", func(d *scene) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: in})
			d.time = d.at("mon 16:00")
			d.until("wed 09:00")
			d.tap(ana)
			d.until("wed 10:00")
		}, []string{"mon 08:01 on_site", "tue 07:35 off_site", "wed 09:00 badge_only"}},
		{"absent after a long time without power", func(d *scene) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: in})
			d.time = d.at("sat 10:00")
			d.restart()
			d.until("sun 23:00")
			d.time = monday.AddDate(0, 0, 7).Add(8 * time.Hour)
			d.until("09:00")
		}, []string{"mon 08:01 on_site", "mon 08:00 off_site"}},
		{"forgot the badge the next day", func(d *scene) {
			d.tap(ana)
			d.stay("09:00", zones{anasTag: in})
			d.time = d.at("tue 07:30")
			d.stay("tue 09:00", zones{anasTag: in})
		}, []string{"mon 08:01 on_site"}},
		{"before the office opens and after it closes", func(d *scene) {
			d.time = d.at("06:00")
			d.tap(ana)
			d.stay("07:29", zones{anasTag: out})
			d.stay("07:31", zones{anasTag: in})
			d.stay("15:59", zones{anasTag: in})
			d.stay("17:00", zones{anasTag: out})
		}, []string{"mon 07:31 on_site"}},
		{"before the office opens, with a tag that is silent", func(d *scene) {
			d.time = d.at("06:00")
			d.tap(ana)
			d.until("10:00")
		}, []string{"mon 07:35 badge_only"}},
		{"on a Sunday", func(d *scene) {
			d.time = d.at("sun 09:00")
			d.tap(ana)
			d.stay("sun 10:00", zones{anasTag: out})
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newScene(t, "mon 08:00")
			tc.day(d)
			d.expect(ana, tc.want...)
			d.expect(budi)
		})
	}
}
