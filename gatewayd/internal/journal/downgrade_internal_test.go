package journal

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"presence/gatewayd/internal/presence"
)

// TestADowngradeInterruptsTheChain: an earlier version reads records with links, and
// writes its own without. Verify says so, and takes it for no damage; with the upgrade
// after it the chain begins anew.
func TestADowngradeInterruptsTheChain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	for _, unchained := range []bool{true, false, true, true, false, false} {
		o := tamperingOptions(path)
		if o.unchained = unchained; unchained {
			o.Seals = Seals{}
		}
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if _, err := j.Append(t.Context(), presence.Draft{
				Kind: presence.KindBadge, At: o.Now(), Badge: &presence.Badge{Reader: "door", Badge: fmt.Sprintf("h:%032x", n)},
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w := readTampering(t, path)
	// What an earlier version makes of a record with a link: it passes over the link.
	for _, e := range w.records {
		payload, err := w.codec.enc.Marshal(e.Draft)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Chain.IsZero() {
			payload = appendChained(nil, payload, e.Chain)
		}
		var old presence.Draft
		if err := w.codec.dec.Unmarshal(payload, &old); err != nil {
			t.Errorf("an earlier version cannot read %s-%d: %v", e.Stream, e.Seq, err)
		}
		if diff := cmp.Diff(e.Draft, old); diff != "" {
			t.Errorf("an earlier version reads %s-%d as\n%s", e.Stream, e.Seq, diff)
		}
	}
	r, err := Verify(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Whole() || r.Chain.Earlier != 4 || r.Chain.Interrupted != 8 || r.Chain.Events != int64(len(w.records))-12 || r.Streams != 6 {
		t.Errorf("%+v\n%s", r.Chain, r)
	}
	for _, words := range []string{
		"chain: 4 events have no link: an earlier version of gatewayd recorded them",
		"chain: interrupted by an earlier version of gatewayd, which recorded 8 events without a link",
	} {
		if !strings.Contains(r.String(), words) {
			t.Errorf("verify does not say %q:\n%s", words, r)
		}
	}
	starts := 0
	for i, e := range w.records {
		anew := i > 0 && e.Start != nil && !e.Chain.IsZero() && w.records[i-1].Chain.IsZero()
		if anew && (!e.Chain.Before.IsZero() || !e.Start.Previous.Link.IsZero()) {
			t.Errorf("behind records without links, %s begins with %+v", e.Stream, e.Chain)
		}
		if anew {
			starts++
		}
	}
	if starts != 2 {
		t.Errorf("the chain begins anew %d times", starts)
	}
}
