package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"presence/config"
	"presence/gatewayd/internal/replay"
)

var update = flag.Bool("update", false, "write what comes of the recordings as what has to come")

// TestRecordingsFromTheField: what came over a line once, and what has to come of it.
// A report becomes a test by copying its recording to testdata as NAME.jsonl, with
// the configuration that it was made with as NAME.toml, or as it is: without a fence
// and at any time; go test -run Recordings -update writes NAME.want.
func TestRecordingsFromTheField(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no recordings: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			name := strings.TrimSuffix(file, ".jsonl")
			recording, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var cfg *config.Config
			if _, err := os.Stat(name + ".toml"); err == nil {
				if cfg, err = config.LoadOnly(name + ".toml"); err != nil {
					t.Fatal(err)
				}
			}
			var got bytes.Buffer
			if err := replay.Replay(context.Background(), bytes.NewReader(recording), cfg, &got); err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(name+".want", got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A file that breaks off, or was edited badly, shows all that was good in it.
func TestABrokenRecordingShowsWhatIsBeforeIt(t *testing.T) {
	var out bytes.Buffer
	err := replay.Replay(context.Background(), strings.NewReader(
		`{"v":1,"receiver":"yard","protocol":"kenwood"}
{"at_ms":5,"text":"$PKLSH,4954.1474,N,11923.6044,W,122434,A,100,1001,*3F\r\n"}
{"at_ms":9,"te`), nil, &out)
	if err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%v", err)
	}
	var first replay.Line
	if err := json.NewDecoder(&out).Decode(&first); err != nil || first.Became != replay.Recorded || first.Fix.Tag != "kenwood:100-1001" {
		t.Errorf("%+v, %v", first, err)
	}
	for in, want := range map[string]string{
		`{"v":1,"receiver":"yard","protocol":"morse"}`:                    "unknown protocol",
		`{"v":1,"receiver":"y","protocol":"reyax","payload":"x"}`:         "unknown payload",
		`{"v":1,"receiver":"y","protocol":"reyax","started":"yesterday"}`: "no time",
		"x": "no header",
	} {
		if err := replay.Replay(context.Background(), strings.NewReader(in), nil, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}
