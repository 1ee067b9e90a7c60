package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// tampering is a journal in which somebody changes records who knows the form of the
// file, and puts right what is easily put right: checksums, positions, the list of holes.
type tampering struct {
	origin  presence.Origin
	codec   codec
	records []presence.Entry
}

// at is the record of a number in the first or second stream (0, 1).
func (w *tampering) at(stream int, seq uint64) *presence.Entry {
	first := w.records[0].Stream
	for i := range w.records {
		if e := &w.records[i]; e.Seq == seq && (e.Stream == first) == (stream == 0) {
			return e
		}
	}
	panic("no such record")
}

func (w *tampering) remove(e *presence.Entry) {
	i := slices.IndexFunc(w.records, func(o presence.Entry) bool { return o.Pos == e.Pos })
	w.records = slices.Delete(w.records, i, i+1)
}

// relink computes the link of a record anew.
func (w *tampering) relink(e *presence.Entry) {
	core, err := w.origin.Core(&e.Record)
	if err != nil {
		panic(err)
	}
	e.Chain.Link = e.Chain.Before.Next(core)
}

// write puts the records where the others were.
func (w *tampering) write(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{bucketEvents, bucketTail, bucketHoles} {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		var holes spans
		for i, e := range w.records {
			if i > 0 && w.records[i-1].Pos+1 < e.Pos {
				holes = holes.Add(span{From: w.records[i-1].Pos + 1, To: e.Pos - 1})
			}
			payload, err := w.codec.enc.Marshal(e.Draft)
			if err != nil {
				return err
			}
			if !e.Chain.IsZero() {
				payload = appendChained(nil, payload, e.Chain)
			}
			key := posKey(e.Pos)
			if err := tx.Bucket([]byte(bucketEvents)).Put(key[:], pack(nil, e.Pos, e.Stream, e.Seq, 1, payload)); err != nil {
				return err
			}
		}
		return putHoles(tx.Bucket([]byte(bucketHoles)), nil, holes)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// sealer signs with nothing.
type sealer struct{}

func (sealer) KeyID() presence.KeyID       { return presence.KeyID{1} }
func (sealer) Sign([]byte) ([]byte, error) { return make([]byte, 64), nil }

// tamperingOptions are those of the journals that are changed.
func tamperingOptions(path string) Options {
	seconds := 0
	return Options{
		Origin: presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes"}, Path: path,
		Keep: 35 * 24 * time.Hour, MaxBytes: 8 << 20, CommitInterval: time.Millisecond, Version: "test",
		Log:   slog.New(slog.DiscardHandler),
		Seals: Seals{Signer: func() Signer { return sealer{} }},
		Now: func() presence.Reading {
			seconds++
			return presence.Reading{Boot: presence.ID{3}, Boottime: time.Duration(seconds) * time.Second, Wall: int64(seconds) * 1e9, State: presence.ClockSynced}
		},
	}
}

// newTampering makes a journal of two streams. In the first a person is forgotten, whose
// numbers are 5, 6 and 9: start, seal, badges 3 to 10, gap, seal. In the second are
// a start, a seal, badges 3 to 10, and a seal.
func newTampering(t *testing.T, path string) *tampering {
	t.Helper()
	o := tamperingOptions(path)
	for stream := range 2 {
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		for n := range uint64(8) {
			_, err := j.Append(t.Context(), presence.Draft{Kind: presence.KindBadge, At: o.Now(), Badge: &presence.Badge{
				Reader: "door", Badge: fmt.Sprintf("h:%032x", n), Card: "mifare-classic-1k", Assurance: "uid",
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if stream == 0 {
			_, err := j.Forget(t.Context(), func(r *presence.Record) bool { return r.Seq == 5 || r.Seq == 6 || r.Seq == 9 })
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return readTampering(t, path)
}

func readTampering(t *testing.T, path string) *tampering {
	t.Helper()
	w := &tampering{origin: tamperingOptions(path).Origin, codec: newCodec()}
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = r.Scan(t.Context(), func(e presence.Entry) error {
		w.records = append(w.records, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// tamper is one thing that somebody does to a journal.
type tamper struct {
	name   string
	change func(w *tampering)
	stream int
	seq    uint64 // where it is to be found
	words  string
}

// changedRecords are records of which something is another.
func changedRecords() []tamper {
	return []tamper{
		{"another identity", func(w *tampering) { w.at(1, 5).Badge.Badge = "h:ff" }, 1, 5, "its content"},
		{"another instant", func(w *tampering) { w.at(1, 5).At.Boottime += time.Millisecond }, 1, 5, "its content"},
		{"another gateway's name in the start", func(w *tampering) { w.at(1, 1).Start.Version = "" }, 1, 1, "its content"},
		{"the newest", func(w *tampering) { w.at(1, 11).At.Boottime++; w.at(1, 11).At.Boottime += time.Second }, 1, 11, "its content"},
		{"another identity and its link", func(w *tampering) { w.at(1, 5).Badge.Badge = "h:ff"; w.relink(w.at(1, 5)) }, 1, 5, "exchanged"},
		{"the link alone", func(w *tampering) { w.at(1, 5).Chain.Link[3]++ }, 1, 5, "its link"},
		{"the link before alone", func(w *tampering) { w.at(1, 5).Chain.Before[3]++ }, 1, 5, "the link before it"},
		{"two that change places", func(w *tampering) {
			a, b := w.at(1, 5), w.at(1, 6)
			a.Draft, b.Draft = b.Draft, a.Draft
		}, 1, 6, "its content"},
		{"two that change places with their links", func(w *tampering) {
			a, b := w.at(1, 5), w.at(1, 6)
			a.Draft, b.Draft, a.Chain, b.Chain = b.Draft, a.Draft, b.Chain, a.Chain
		}, 1, 5, "changed"},
	}
}

// changedOrder are records that are gone, or put in; foreign is another gateway's journal.
func changedOrder(foreign *tampering) []tamper {
	return []tamper{
		{"one that is gone", func(w *tampering) { w.remove(w.at(1, 5)) }, 1, 5, "missing"},
		{"one that is gone from between the streams", func(w *tampering) { w.remove(w.at(0, 12)) }, 0, 12, "missing"},
		{"a start that is gone", func(w *tampering) { w.remove(w.at(1, 1)) }, 1, 1, "missing"},
		{"the oldest, which waits", func(w *tampering) { w.remove(w.at(0, 1)) }, 0, 1, "missing"},
		{"one that is gone and named", func(w *tampering) {
			gap := w.at(0, 11).Gap
			gap.Ranges = append(gap.Ranges, presence.Range{Stream: w.at(0, 7).Stream, From: 7, To: 7, Before: w.at(0, 7).Chain.Before, Link: w.at(0, 7).Chain.Link})
			w.remove(w.at(0, 7))
		}, 0, 11, "its content"},
		{"another link in a gap", func(w *tampering) {
			w.at(0, 11).Gap.Ranges[0].Link[0]++
			w.relink(w.at(0, 11))
		}, 0, 6, "rests on another link than the gap names"},
		{"another link before in a gap", func(w *tampering) {
			w.at(0, 11).Gap.Ranges[1].Before[0]++
			w.relink(w.at(0, 11))
		}, 0, 9, "another link before it"},
		{"one that is put where one was forgotten", func(w *tampering) {
			e := *w.at(0, 10)
			e.Pos, e.Seq, e.Chain.Before = e.Pos-1, e.Seq-1, w.at(0, 8).Chain.Link
			w.relink(&e)
			w.records = slices.Insert(w.records, slices.IndexFunc(w.records, func(o presence.Entry) bool { return o.Pos == e.Pos+1 }), e)
		}, 0, 9, "exchanged"},
		{"one of another journal", func(w *tampering) {
			e := w.at(1, 5)
			e.Draft, e.Chain = foreign.at(1, 5).Draft, foreign.at(1, 5).Chain
		}, 1, 5, "its content"},
		{"one of another journal, with a link that holds", func(w *tampering) {
			e := w.at(1, 5)
			e.Draft, e.Chain = foreign.at(1, 5).Draft, foreign.at(1, 5).Chain
			w.relink(e)
		}, 1, 5, "does not belong"},
	}
}

// changedLinks are links, starts and seals that do not belong together.
func changedLinks() []tamper {
	return []tamper{
		{"one without its link", func(w *tampering) { w.at(1, 5).Chain = presence.Chain{} }, 1, 5, "has no link"},
		{"a stream without its links", func(w *tampering) {
			for seq := range uint64(11) {
				w.at(1, seq+1).Chain = presence.Chain{}
			}
		}, 1, 1, "has no link"},
		{"the first stream without its links", func(w *tampering) {
			for i := range w.records {
				if w.records[i].Stream == w.records[0].Stream {
					w.records[i].Chain = presence.Chain{}
				}
			}
		}, 0, 12, "has no link"},
		{"another stream before the second", func(w *tampering) {
			w.at(1, 1).Start.Previous.Link[0]++
			w.relink(w.at(1, 1))
		}, 1, 0, "its start names another link"},
		{"no stream before the second", func(w *tampering) {
			w.at(1, 1).Start.Previous, w.at(1, 1).Chain.Before = nil, presence.Link{}
			w.relink(w.at(1, 1))
		}, 1, 0, "begins as if nothing were before it"},
		{"a seal for less", func(w *tampering) { w.at(1, 2).Seal.Upto--; w.relink(w.at(1, 2)) }, 1, 2, "the seal"},
		{"a seal for another link", func(w *tampering) { w.at(1, 11).Seal.Link[0]++ }, 1, 11, "the seal"},
	}
}

// TestVerifyFindsWhatWasChanged: whatever somebody does to a journal without computing
// the chain anew up to its end is damage, and verify says where.
func TestVerifyFindsWhatWasChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	original, other := filepath.Join(dir, "journal.db"), filepath.Join(dir, "other.db")
	newTampering(t, original)
	foreign := newTampering(t, other)
	file, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range slices.Concat(changedRecords(), changedOrder(foreign), changedLinks()) {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, fmt.Sprint(i)+".db")
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			w := readTampering(t, path)
			stream := w.at(c.stream, 3).Stream
			c.change(w)
			w.write(t, path)
			offline, err := Verify(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			j, err := Open(tamperingOptions(path))
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			online, err := j.Verify(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for how, r := range map[string]Report{"offline": offline, "online": online} {
				if !strings.Contains(r.String(), "journal: damaged") || !placed(r.Damage, stream, c.seq, c.words) {
					t.Errorf("%s: not found at seq %d of %s with %q:\n%s", how, c.seq, stream, c.words, r)
				}
				if len(r.Damage) > 3 {
					t.Errorf("%s: %d findings for one change:\n%s", how, len(r.Damage), r)
				}
			}
		})
	}
}

// placed tells whether some damage is at a place, in these words.
func placed(damage []language.Text, stream presence.ID, seq uint64, words string) bool {
	return slices.ContainsFunc(damage, func(d language.Text) bool {
		at := strings.Contains(d.EN+" ", fmt.Sprintf("seq %d ", seq)) || strings.Contains(d.EN, fmt.Sprintf("seq %d:", seq)) || seq == 0
		return at && strings.Contains(d.EN, stream.String()) && strings.Contains(d.ID, stream.String()) && strings.Contains(d.EN, words)
	})
}

// TestVerifySaysWhatItCannotCheck: a kind of a later version is no damage, and neither is
// a journal that does not say whose it is; links are held against each other all the same.
func TestVerifySaysWhatItCannotCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(w *tampering)
		whole  bool
		words  string
	}{
		{"a kind of a later version", func(w *tampering) {
			e := w.at(1, 5)
			e.Draft = presence.Draft{Kind: 77, At: e.At}
			e.Chain.Link = presence.Link{7}
			next := w.at(1, 6)
			next.Chain.Before = e.Chain.Link
			w.relink(next)
			w.at(1, 7).Chain.Before = next.Chain.Link
			for seq := range uint64(5) {
				e := w.at(1, seq+7)
				e.Chain.Before = w.at(1, seq+6).Chain.Link
				if e.Seal != nil {
					e.Seal.Link = e.Chain.Before
				}
				w.relink(e)
			}
		}, true, "1 events are of kinds that this version does not know"},
		{"nobody's, and sound", func(*tampering) {}, true, "whose events these are is not in the file"},
		{"nobody's, and a link is another", func(w *tampering) { w.at(1, 5).Chain.Link[0]++ }, false, "seq 5 was exchanged: seq 6 rests on another event"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			w := newTampering(t, path)
			c.change(w)
			w.write(t, path)
			if strings.HasPrefix(c.name, "nobody's") {
				forgetOrigin(t, path)
			}
			r, err := Verify(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Whole() != c.whole || !strings.Contains(r.String(), c.words) || r.Chain.Events != int64(len(w.records)) {
				t.Errorf("want whole %t, and %q:\n%s", c.whole, c.words, r)
			}
		})
	}
}

// forgetOrigin takes out of a journal whose it is.
func forgetOrigin(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Delete([]byte(keyOrigin)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
