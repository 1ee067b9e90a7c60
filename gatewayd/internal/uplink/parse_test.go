package uplink

import (
	"encoding/json"
	"strings"
	"testing"

	"presence/gatewayd/internal/presence"
)

// FuzzCommand reads anything as a command: what is accepted has a transaction
// id and a date.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		`{"tx":"1","expires":"2026-11-23T07:30:00+07:00","args":{}}`, `{"tx":"1","expires":"2026-11-23T07:30:00Z"}`,
		`{"tx":1}`, `{`, ``, `[]`, "\xff", `{"tx":"1","expires":"2026-11-23T07:30:00Z","args":[]}`,
		`{"tx":"` + strings.Repeat("x", 200) + `"}`, `{"args":` + strings.Repeat("[", 5000) + `}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseCommand(payload)
		if err == nil && (c.TX == "" || len(c.TX) > maxTX || c.expires.IsZero() && !strings.HasPrefix(c.Expires, "0001-01-01")) {
			t.Errorf("%q was taken as %+v", payload, c)
		}
	})
}

// FuzzStatus reads anything as a status.
func FuzzStatus(f *testing.F) {
	for _, seed := range []string{
		`{"state":"online","session":"00000000-0000-4000-8000-000000000001","reason":"start","time":null}`,
		`{"state":"offline"}`, `{"session":"x"}`, `null`, `"online"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := parseStatus(payload)
		if err == nil && s.State != "online" && s.State != "offline" {
			t.Errorf("%q was taken as %+v", payload, s)
		}
	})
}

// TestResyncNamesWhatIsMissing: the error names the argument that was forgotten.
func TestResyncNamesWhatIsMissing(t *testing.T) {
	const stream = `"stream":"019ab2c3-0000-7000-8000-000000000001"`
	for args, want := range map[string]string{
		``:                   "args: missing stream and seq",
		`null`:               "args: missing stream and seq",
		`{}`:                 "args: missing stream and seq",
		`{` + stream + `}`:   "args: missing seq",
		`{"seq":5}`:          "args: missing stream:",
		`{"seq":5,"from":1}`: `unknown field "from"`,
		`{"seq":"5"}`:        "seq",
	} {
		if _, err := new(Uplink).resync(t.Context(), []byte(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

// TestRefusalsAreInPlainWords, with the topic as it was sent.
func TestRefusalsAreInPlainWords(t *testing.T) {
	u := &Uplink{prefix: "presence/v1/dinkes/dinkes-01/"}
	u.opt.Now, u.opt.Times = func() presence.Reading { return presence.Reading{} }, nobodyKnows{}
	for payload, want := range map[string]string{
		`{"tx":3}`:       "tx is a JSON number: want text in quotes",
		`[]`:             "it is a JSON array: want an object",
		`{"tx":"1"`:      "it is no JSON",
		`nothing`:        "it is no JSON",
		`{"expires":{}}`: "expires is a JSON object: want text in quotes",
	} {
		_, err := parseCommand([]byte(payload))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v", payload, err)
			continue
		}
		var line presence.LogLine
		if err := json.Unmarshal(u.logLine(u.prefix+"cmd/ping", err), &line); err != nil || line.Details["topic"] != "cmd/ping" {
			t.Errorf("the log says %+v, %v", line, err)
		}
	}
	for payload, want := range map[string]string{
		`{"stream":3}`: "stream is a JSON number: want text in quotes",
		`{"upto":-1}`:  "upto is a JSON number -1: want a whole number from 0 on",
		`{"sum":1}`:    `unknown field "sum"`,
		``:             "ends too early",
	} {
		if _, err := parseReceipt([]byte(payload)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "json: ") {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

// nobodyKnows is a clock that knows no time.
type nobodyKnows struct{ Times }

func (nobodyKnows) Timing(presence.Reading) presence.Timing { return presence.Timing{} }

func (nobodyKnows) Revise(published presence.Timing, _ presence.Reading) presence.Timing {
	return published
}
