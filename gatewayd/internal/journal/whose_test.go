package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

func originOf(t *testing.T, gateway, dinas string) presence.Origin {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Jayapura")
	if err != nil {
		t.Fatal(err)
	}
	return presence.Origin{Gateway: gateway, Dinas: dinas, Location: zone}
}

// held is whose events a journal says that it holds.
func held(path string) string {
	o := journal.OriginAt(path)
	zone := ""
	if o.Location != nil {
		zone = o.Location.String()
	}
	return o.Dinas + "/" + o.Gateway + " in " + zone
}

// TestAJournalIsOfOneGateway: who opens it under another name gets nothing, and changes
// nothing in it.
func TestAJournalIsOfOneGateway(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.Origin = presence.Origin{}
	closed(t, open(t, journal.Unchained(o))) // as an earlier version made it
	if got := held(o.Path); got != "/ in " {
		t.Errorf("the journal of an earlier version is that of %s", got)
	}
	o.Origin = originOf(t, "dinkes-01", "dinkes")
	j := open(t, o)
	appended(t, j, badge(c, 1))
	const want = "dinkes/dinkes-01 in Asia/Jayapura"
	if got := held(o.Path); got != want {
		t.Errorf("while it is open it is that of %s", got)
	}
	closed(t, j)
	file := read(t, o.Path)
	for _, other := range []presence.Origin{originOf(t, "dinkes-02", "dinkes"), originOf(t, "dinkes-01", "dinkop")} {
		stranger := o
		stranger.Origin = other
		var wrong *journal.OtherError
		if _, err := journal.Open(stranger); !errors.As(err, &wrong) || wrong.Holds.Gateway != "dinkes-01" || wrong.Opens != other {
			t.Errorf("opened by %v: %v", other, err)
		}
	}
	if !bytes.Equal(read(t, o.Path), file) {
		t.Error("a stranger has changed the journal")
	}
	closed(t, open(t, o))
	if got := held(o.Path); got != want {
		t.Errorf("it is that of %s", got)
	}
}

// TestWhoseAJournalIsOutlivesItsFile: the file is written anew when somebody is
// forgotten, and when it was damaged.
func TestWhoseAJournalIsOutlivesItsFile(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.Origin = originOf(t, "dinkes-01", "dinkes")
	j := open(t, o)
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	if _, err := j.Forget(t.Context(), func(r *presence.Record) bool { return r.Seq == 7 }); err != nil {
		t.Fatal(err)
	}
	const want = "dinkes/dinkes-01 in Asia/Jayapura"
	if got := held(o.Path); got != want {
		t.Errorf("after a forget it is that of %s", got)
	}
	closed(t, j)
	torn := read(t, o.Path)
	newest := 0
	if binary.LittleEndian.Uint64(torn[pageSize+64:]) > binary.LittleEndian.Uint64(torn[64:]) {
		newest = pageSize
	}
	clear(torn[newest+40 : newest+pageSize])
	if err := os.WriteFile(o.Path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := o
	stranger.Origin = originOf(t, "dinkes-02", "dinkes")
	if _, err := journal.Open(stranger); err == nil {
		t.Error("a stranger has opened what was saved of a damaged journal")
	}
	if got := held(o.Path); got != want {
		t.Errorf("what was saved of a damaged journal is that of %s", got)
	}
	if j = open(t, o); j.End() < 50 {
		t.Errorf("of 50 events there are %d", j.End())
	}
}

// deliverable is a journal that a gateway left behind, with five events of which two are
// delivered, and its last sign of life.
func deliverable(t *testing.T, c *clock) (o journal.Options, alive presence.Reading) {
	t.Helper()
	o = options(newPath(t), c)
	o.Origin = originOf(t, "dinkes-01", "dinkes")
	j := open(t, o)
	for i := range 4 {
		appended(t, j, badge(c, i))
	}
	j.Ack(2)
	closed(t, j)
	alive = c.now()
	c.pass(100 * 24 * time.Hour) // far longer than events are kept
	c.reboot()
	o.NoStream = true
	return o, alive
}

// TestDeliveringAddsNothing: who only delivers begins no stream, records nothing, lets
// nothing go, and leaves behind how far it was delivered, and else what was there.
func TestDeliveringAddsNothing(t *testing.T) {
	t.Parallel()
	c := newClock()
	o, alive := deliverable(t, c)
	mark := read(t, strings.TrimSuffix(o.Path, ".db")+".mark")
	j := open(t, o)
	before := all(t, j, 0)
	if j.End() != 5 || j.Cursor() != 2 || len(before) != 5 || before[0].Stream == j.Stream() {
		t.Fatalf("it ends at %d, delivered up to %d: %v", j.End(), j.Cursor(), before)
	}
	if _, err := j.Append(t.Context(), badge(c, 9)); err == nil {
		t.Error("an event was recorded")
	}
	if err := j.Enqueue(t.Context(), tag(c, 9)); err == nil {
		t.Error("an event waits to be recorded")
	}
	j.Ack(4)
	if err := j.Save("note", []byte("text")); err != nil {
		t.Fatal(err)
	}
	closed(t, j)
	if got := read(t, strings.TrimSuffix(o.Path, ".db")+".mark"); !bytes.Equal(got, mark) {
		t.Errorf("the mark says %s", got)
	}
	r, err := journal.OpenReadOnly(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	at, clean, known := r.Ended()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if at != alive || !clean || !known {
		t.Errorf("the gateway was last alive at %+v (ended on purpose: %t), want %+v", at, clean, alive)
	}
	if report := whole(t, o.Path); report.Events != 5 || report.Delivered != 4 || report.Streams != 1 {
		t.Errorf("it holds\n%s", report)
	}
	o.NoStream = false // the card is put back
	j = open(t, o)
	if e := all(t, j, 5); j.Cursor() != 4 || len(e) != 1 || e[0].Start.Previous.Stream != before[0].Stream || *e[0].Start.Alive != alive {
		t.Errorf("delivered up to %d, and the next stream begins with %+v", j.Cursor(), e)
	}
}

// TestDeliveringNamesLosses: what no gap names yet takes an event, and that a stream.
func TestDeliveringNamesLosses(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.MaxBytes = 1 << 20
	j := open(t, o)
	green := fillUp(t, j, c)
	dead := killed(t, o)
	dead.NoStream, dead.MaxBytes = true, 64<<20
	for range 2 { // and only once
		j := open(t, dead)
		ledgerOf(t, j).accountsFor(t, "badge", green+1)
		closed(t, j)
		whole(t, dead.Path)
	}
}

// TestDeliveringADamagedJournal: it is put aside, and what was lost with it is named.
func TestDeliveringADamagedJournal(t *testing.T) {
	t.Parallel()
	s := newSample(t, 300)
	o := s.place(t, s.file[:len(s.file)/2])
	o.NoStream = true
	j := open(t, o)
	d := j.Damage()
	if d == nil || d.Quarantine == "" {
		t.Fatalf("the damage is %+v", d)
	}
	gaps := 0
	for _, e := range all(t, j, 0) {
		if e.Gap != nil && e.Gap.Reason == presence.GapJournalDamaged {
			gaps++
		}
	}
	if gaps == 0 {
		t.Error("no gap names what was lost")
	}
}

// TestACopyIsTheJournal, and is looked through as a whole.
func TestACopyIsTheJournal(t *testing.T) {
	t.Parallel()
	o, _ := deliverable(t, newClock())
	to := filepath.Join(t.TempDir(), "journal.db")
	if err := journal.Copy(o.Path, to); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, to), read(t, o.Path)) {
		t.Error("the copy is another file")
	}
	if mark := read(t, strings.TrimSuffix(to, ".db")+".mark"); !bytes.Contains(mark, []byte("it is a copy")) {
		t.Errorf("its mark says %s", mark)
	}
	if err := journal.Copy(o.Path, to); err == nil {
		t.Error("a journal was overwritten")
	}
	o.Path = to
	j := open(t, o)
	if j.Damage() != nil || j.End() != 5 {
		t.Errorf("it ends at %d: %+v", j.End(), j.Damage())
	}
	if err := journal.Copy(o.Path, filepath.Join(t.TempDir(), "journal.db")); !errors.Is(err, journal.ErrHeld) {
		t.Errorf("a journal in use: %v", err)
	}
}
