package city_test

import (
	"crypto/ed25519"
	"encoding/json"
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
		"presence/v1/a/d/time/request":           `{"tx":"a\nb"}`,
		"presence/v1/a/b/time/request":           `{`,
		"presence/v1/a/c/time/request":           `{"tx":"` + strings.Repeat("x", 1000) + `"}`,
	} {
		if _, answer, ok := city.AnswerTime(topic, []byte(question), at); ok {
			t.Errorf("%s on %s is answered %s", question, topic, answer)
		}
	}
}

func TestSignedAnswers(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	at := time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC)
	verify := func(message []byte, text string) {
		t.Helper()
		var said struct{ Sig []byte }
		if err := json.Unmarshal(message, &said); err != nil || !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte(text), said.Sig) {
			t.Errorf("%s is no signature of %q: %v", message, text, err)
		}
	}
	_, answer, ok := city.AnswerTimeSigned("presence/v1/dinkes/dinkes-01/time/request", []byte(`{"tx":"a"}`), at, key)
	if !ok {
		t.Fatal("no answer")
	}
	verify(answer, "gatewayd time v1\ndinkes\ndinkes-01\na\n2026-11-23T07:30:00Z")
	receipt, err := city.SignReceipt("dinkes", "dinkes-01", "019ab2c3-0000-7000-8000-000000000000", 123, key)
	if err != nil {
		t.Fatal(err)
	}
	verify(receipt, "gatewayd receipt v1\ndinkes\ndinkes-01\n019ab2c3-0000-7000-8000-000000000000\n123")
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for topic, message := range map[string][]byte{"time/reply": answer, "receipt": receipt} {
		if err := v.Validate("presence/v1/dinkes/dinkes-01/"+topic, message); err != nil {
			t.Error(err)
		}
	}
}
