package city_test

import (
	"strings"
	"testing"
	"time"

	"presence/scripts/city"
)

func TestAnswerTime(t *testing.T) {
	at := time.Date(2026, 11, 23, 7, 30, 0, 123456789, time.FixedZone("WIB", 7*3600))
	const own = "presence/v1/dinkes/dinkes-01/"
	topic, answer, ok := city.AnswerTime(own+"time/request", []byte(`{"tx":"a","sent_boottime_ns":5}`), at)
	if want := `{"tx":"a","utc":"2026-11-23T00:30:00.123456789Z"}`; !ok || topic != own+"time/reply" || string(answer) != want {
		t.Errorf("%v %s %s", ok, topic, answer)
	}
	for topic, question := range map[string]string{
		own + "time/reply":                       `{"tx":"a"}`,
		"presence/v1/time/request":               `{"tx":"a"}`,
		"other/v1/dinkes/dinkes-01/time/request": `{"tx":"a"}`,
		own + "time/request":                     `{"tx":""}`,
		own + "x/time/request":                   `{"tx":"a"}`,
		"presence/v1/a/b/time/request":           `{`,
		"presence/v1/a/c/time/request":           `{"tx":"` + strings.Repeat("x", 1000) + `"}`,
	} {
		if _, answer, ok := city.AnswerTime(topic, []byte(question), at); ok {
			t.Errorf("%s on %s is answered %s", question, topic, answer)
		}
	}
}
