package journal

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
)

// FuzzSalvage looks for records in arbitrary files: never a panic, and nothing
// comes out that has no right checksum, or twice, or out of order.
func FuzzSalvage(f *testing.F) {
	at := presence.Reading{Boot: presence.ID{1}}
	path := filepath.Join(f.TempDir(), "journal.db")
	j, err := Open(Options{
		Path: path, Keep: time.Hour, MaxBytes: 1 << 20, CommitInterval: time.Hour,
		Now: func() presence.Reading { return at }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 60 {
		d := presence.Draft{Kind: presence.KindBadge, At: at, Badge: &presence.Badge{Reader: "door"}}
		if i%20 == 19 {
			d = presence.Draft{Kind: presence.KindGap, At: at, Gap: &presence.Gap{Ranges: []presence.Range{{Stream: j.stream, From: 3, To: 4}}}}
		}
		if _, err := j.Append(f.Context(), d); err != nil {
			f.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	sound = bytes.TrimRight(sound, "\x00")
	f.Add([]byte{}, uint32(0), uint32(0))
	f.Add([]byte("garbage"), uint32(5000), uint32(0))
	f.Add([]byte{0xff, 0xff}, uint32(8), uint32(0))         // the type of the first page
	f.Add([]byte{0xff, 0xff}, uint32(3*4096+10), uint32(0)) // the count of another
	f.Add(sound[:4096], uint32(4096), uint32(0))            // the same meta page twice
	f.Add([]byte{}, uint32(0), uint32(9000))
	f.Fuzz(func(t *testing.T, patch []byte, off, cut uint32) {
		file := bytes.Clone(sound)
		if cut > 0 {
			file = file[:min(int(cut), len(file))]
		}
		if int(off) < len(file) {
			copy(file[off:], patch)
		} else {
			file = append(file, patch...)
		}
		c := newCodec()
		s := salvage(bytes.NewReader(file), int64(len(file)), c, func(int64) {})
		last := uint64(0)
		for _, p := range s.records {
			if p.pos <= last {
				t.Fatalf("position %d after %d", p.pos, last)
			}
			last = p.pos
			key, value, err := p.read(bytes.NewReader(file), make([]byte, maxPiece))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := unpack(key, value); err != nil {
				t.Fatalf("position %d: %v", p.pos, err)
			}
		}
		for _, m := range s.missing {
			if m.From > m.To {
				t.Fatalf("%+v is missing", m)
			}
		}
		look := survey{codec: c, problem: func(error) {}}
		look.all(bytes.NewReader(file), int64(len(file)))
	})
}

// TestSalvageChoosesWhatWasDurable: where a commit that did not get through and
// the one after it used the same place, the record counts that was durable.
func TestSalvageChoosesWhatWasDurable(t *testing.T) {
	before, later := presence.ID{1}, presence.ID{2}
	for name, c := range map[string]struct{ durable, other piece }{
		"the tree knows it": {
			piece{pos: 5, seq: 5, stream: before, attempt: 3, linked: true},
			piece{pos: 5, seq: 5, stream: before, attempt: 4},
		},
		"the later attempt": {
			piece{pos: 5, seq: 5, stream: before, attempt: 4},
			piece{pos: 5, seq: 5, stream: before, attempt: 3},
		},
		"the process that came later": {
			piece{pos: 5, seq: 1, stream: later, attempt: 1},
			piece{pos: 5, seq: 5, stream: before, attempt: 9},
		},
	} {
		first := piece{pos: 4, seq: 4, stream: before, attempt: 2, linked: true}
		for _, pieces := range [][]piece{{first, c.durable, c.other}, {c.other, c.durable, first}} {
			if got, want := choose(pieces), []piece{first, c.durable}; !slices.Equal(got, want) {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		}
	}
	// What a process left behind where the next one began was never durable.
	start := piece{pos: 5, seq: 1, stream: later, linked: true}
	stray := piece{pos: 6, seq: 6, stream: before}
	if got := choose([]piece{stray, start}); !slices.Equal(got, []piece{start}) {
		t.Errorf("got %+v", got)
	}
}
