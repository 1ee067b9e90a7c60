package journal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// TestMain lets this binary be the process under test as well: a process that
// is killed, that lives on a disk with faults, or that is another user's.
func TestMain(m *testing.M) {
	if what := os.Getenv("JOURNAL_TEST_PROCESS"); what != "" {
		if err := process(what, os.Getenv("JOURNAL_TEST_DIR")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run runs a process under test and returns what it prints.
func run(t testing.TB, what, dir string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_PROCESS="+what, "JOURNAL_TEST_DIR="+dir,
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // else each costs a second under the race detector
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func process(what, dir string) error {
	switch what {
	case "damaged":
		j, err := journal.Open(options(filepath.Join(dir, "journal.db"), newClock()))
		if err != nil {
			return err
		}
		if d := j.Damage(); d != nil {
			fmt.Printf("damage: %+v\n", *d)
		}
		return j.Close()
	case "ends", "dies", "full", "mends":
		return newOffice(dir, what).run()
	case "faults":
		return newOffice(dir, what).faults()
	case "on":
		return newOffice(dir, what).on()
	case "fills":
		return newOffice(dir, what).fills()
	case "tears":
		return newOffice(dir, what).tears()
	case "forgets":
		return newOffice(dir, what).forgets()
	}
	return fmt.Errorf("what is %q", what)
}

// office is the life that a journal leads in a process under test: taps from
// two doors, tags, and a city that reads and acknowledges. It notes what it
// asks for, before, and what it was told, after.
type office struct {
	what  string
	notes *os.File
	clock *sharedClock
	opt   journal.Options
	next  int // number of the next draft
	mu    sync.Mutex
	j     *journal.Journal
}

type sharedClock struct {
	mu sync.Mutex
	clock
}

func (c *sharedClock) now() presence.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass(time.Minute)
	return c.at
}

func newOffice(dir, what string) *office {
	c := &sharedClock{clock: *newClock()}
	o := sealed(options(filepath.Join(dir, "journal.db"), nil))
	o.Seals.Every = 10 * time.Millisecond
	o.Now = c.now
	o.Keep = 20 * time.Minute
	o.CommitInterval = 3 * time.Millisecond
	if what == "full" {
		o.MaxBytes = 350 << 10
	}
	return &office{what: what, clock: c, opt: o, next: os.Getpid() * 10_000}
}

func (o *office) say(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := fmt.Fprintf(o.notes, format+"\n", args...); err != nil {
		panic(err)
	}
}

func (o *office) number() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next++
	return o.next
}

func (o *office) open() (err error) {
	dir := filepath.Dir(o.opt.Path)
	if o.notes, err = os.OpenFile(filepath.Join(dir, notes), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
		return err
	}
	o.say("open")
	o.j, err = journal.Open(o.opt)
	if err == nil && (o.j.Damage() != nil) != (o.what == "mends") {
		err = fmt.Errorf("damaged: %+v", o.j.Damage())
	}
	if err == nil {
		o.say("opened")
	}
	return err
}

// tears shows some badges and then damages the file, in a way that loses
// nothing: the older of the two meta pages says that it is another.
func (o *office) tears() error {
	if err := o.open(); err != nil {
		return err
	}
	for range 10 {
		if err := errors.Join(o.tag(), o.tap()); err != nil {
			return err
		}
	}
	if err := o.j.Close(); err != nil {
		return err
	}
	path := o.opt.Path
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	older := int64(0)
	if binary.LittleEndian.Uint64(b[pageSize+64:]) < binary.LittleEndian.Uint64(b[64:]) {
		older = pageSize
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{7}, older)
	return errors.Join(err, f.Sync(), f.Close())
}

// tap shows a badge and tells whether the lamp was green.
func (o *office) tap() error {
	n := o.number()
	o.say("ask %d", n)
	d := presence.Draft{Kind: presence.KindBadge, At: o.clock.now(), Badge: &presence.Badge{
		Reader: "door", Badge: strconv.Itoa(n), Card: "mifare-classic-1k", Assurance: "uid",
	}}
	e, err := o.j.Append(context.Background(), d)
	if err == nil {
		o.say("green %d %s %d %d", n, e.Stream, e.Seq, e.Pos)
	}
	return err
}

func (o *office) tag() error {
	n := o.number()
	o.say("ask %d", n)
	d := presence.Draft{Kind: presence.KindTag, At: o.clock.now(), Tag: &presence.Tag{
		Receiver: "yard", Tag: "kenwood:" + strconv.Itoa(n%3), FixTime: int64(n), Fix: presence.FreshnessLive,
	}}
	return o.j.Enqueue(context.Background(), d)
}

// seal has the journal sealed, for which a full one may have no room.
func (o *office) seal(ctx context.Context) error {
	err := o.j.Seal(ctx)
	if o.what == "full" && errors.Is(err, journal.ErrFull) {
		return nil
	}
	return err
}

// numberOf is the number of the draft that an event was.
func numberOf(e presence.Entry) string {
	switch {
	case e.Badge != nil && e.Badge.Badge != somebody:
		return e.Badge.Badge
	case e.Tag != nil:
		return strconv.FormatInt(e.Tag.FixTime, 10)
	}
	return "0"
}

// city reads, and acknowledges some.
func (o *office) city(ctx context.Context, acks bool) {
	after := o.j.Cursor()
	for n := 0; ; n++ {
		es, err := o.j.Next(ctx, after, 7)
		if err != nil {
			return
		}
		for _, e := range es {
			o.say("sent %s %s %d %d", numberOf(e), e.Stream, e.Seq, e.Pos)
			after = e.Pos
		}
		if acks && n%3 == 0 {
			o.say("ack %d", after)
			o.j.Ack(after)
		}
	}
}

func (o *office) run() error {
	if err := o.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var w sync.WaitGroup
	w.Go(func() { o.city(ctx, o.what != "full") })
	var doors sync.WaitGroup
	errs := make([]error, 2)
	for door := range errs {
		doors.Go(func() {
			taps, tags := 12, door
			if o.what == "full" {
				taps, tags = 22, 8
			}
			for i := range taps {
				for range tags {
					errs[door] = errors.Join(errs[door], o.tag())
				}
				errs[door] = errors.Join(errs[door], o.tap())
				if i%10 == 9 {
					errs[door] = errors.Join(errs[door], o.j.Flush(ctx), o.seal(ctx))
				}
			}
		})
	}
	doors.Wait()
	if o.what == "dies" {
		os.Exit(0) // without a word to anybody
	}
	cancel()
	w.Wait()
	return errors.Join(errors.Join(errs...), o.j.Close())
}

// on goes on for ever, and speaks on its standard output.
func (o *office) on() error {
	if err := o.open(); err != nil {
		return err
	}
	o.notes = os.Stdout
	go o.city(context.Background(), true)
	for {
		if err := errors.Join(o.tag(), o.tap()); err != nil {
			return err
		}
	}
}

// faults shows badges until the journal fails, or twenty.
func (o *office) faults() error {
	if err := o.open(); err != nil {
		fmt.Println("not opened:", err)
		return nil
	}
	for n := range 8 {
		if n == 4 {
			if _, err := o.j.Forget(context.Background(), func(*presence.Record) bool { return false }); err != nil {
				fmt.Println("not written anew:", err)
			}
		}
		if err := o.tag(); err != nil {
			fmt.Println("tag:", err)
		}
		if err := o.tap(); err != nil {
			fmt.Println("red:", err)
		}
		select {
		case <-o.j.Failed():
			fmt.Println("failed:", o.j.Err())
			if err := o.tap(); err == nil {
				return errors.New("a failed journal has accepted a tap")
			}
			return o.j.Close()
		default:
		}
	}
	err := o.j.Close()
	if why := o.j.Err(); why != nil {
		fmt.Println("failed:", why)
	}
	return err
}

// fills shows badges until ten were red and five green again.
func (o *office) fills() error {
	if err := o.open(); err != nil {
		return err
	}
	reasons, red := make(map[string]int), 0
	for green := 0; green < 5; {
		if err := o.tag(); err != nil {
			return err
		}
		err := o.tap()
		var why *journal.Error
		switch {
		case err == nil && red >= 10:
			green++
		case errors.As(err, &why):
			reasons[why.Reason()]++
			red++
			o.say("red %s", why.Reason())
		case err != nil:
			return err
		}
	}
	fmt.Println("red:", reasons)
	if err := o.j.Flush(context.Background()); err != nil {
		return err
	}
	lost := 0
	for _, err := range []error{o.j.Scan(context.Background(), func(e presence.Entry) error {
		if e.Gap != nil {
			lost += e.Gap.Kinds["badge"]
		}
		return nil
	}), o.j.Close()} {
		if err != nil {
			return err
		}
	}
	if lost != red {
		return fmt.Errorf("%d taps were red, the ledger has %d", red, lost)
	}
	return nil
}
