package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"presence/scripts/childtest"
)

// faults counts what is wrong, and says the first of it.
type faults struct {
	t *testing.T

	mu             sync.Mutex
	lost, invented int
}

// faultsSaid is how many faults are said; the others are only counted.
const faultsSaid = 20

func (f *faults) lose(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost++
	f.say("lost: ", format, args...)
}

func (f *faults) invent(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.invented++
	f.say("invented: ", format, args...)
}

func (f *faults) say(which, format string, args ...any) {
	if f.lost+f.invented <= faultsSaid {
		f.t.Errorf(which+format, args...)
	} else {
		f.t.Fail()
	}
}

// journalStream is one stream of the journal.
type journalStream struct {
	name  string
	first uint64   // number of the first that is still there
	sums  []uint64 // of the events from there on
}

// readJournal reads what the gateway says that it recorded.
func (w *torture) readJournal() []*journalStream {
	path, err := binary()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(path, "--config", w.g.config, "export")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := childtest.Start(cmd); err != nil {
		w.t.Fatal(err)
	}
	var streams []*journalStream
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			w.t.Errorf("export says %q: %v", lines.Text(), err)
			continue
		}
		if len(streams) == 0 || streams[len(streams)-1].name != e.Stream {
			streams = append(streams, &journalStream{name: e.Stream, first: e.Seq})
		}
		s := streams[len(streams)-1]
		if want := s.first + uint64(len(s.sums)); e.Seq != want {
			w.faults.lose("journal: stream %s goes on with %d, not %d", e.Stream, e.Seq, want)
		}
		s.sums = append(s.sums, w.city.sum(lines.Bytes()))
	}
	if err := lines.Err(); err != nil {
		w.t.Errorf("read export: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		w.t.Errorf("export: %v", err)
	}
	return streams
}

// compare is the oracle.
func (w *torture) compare(journal []*journalStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.city.mu.Lock()
	defer w.city.mu.Unlock()
	w.compareCards()
	w.compareJournal(journal)
	w.compareStreams()
	w.compared = true
}

// compareCards holds what people saw at the door against the city's events.
func (w *torture) compareCards() {
	for uid, c := range w.cards {
		ids := w.city.badges[uid]
		if c.id != "" && !slices.Contains(ids, c.id) {
			w.faults.lose("%s was told of event %s; the city has %q", uid, c.id, ids)
		}
		if len(ids) > 1 && !c.loose {
			w.faults.invent("%s was there once and is recorded as %q", uid, ids)
		}
	}
	for uid, ids := range w.city.badges {
		if w.cards[uid] == nil {
			w.faults.invent("nobody showed %s, and the city has it as %q", uid, ids)
		}
	}
}

// compareJournal holds the journal against the city's events: what is durable
// was delivered, as it is, and what was delivered is durable.
func (w *torture) compareJournal(journal []*journalStream) {
	if len(journal) == 0 {
		w.faults.lose("the journal is empty")
		return
	}
	durable := make(map[string]bool)
	for _, j := range journal {
		durable[j.name] = true
		s := w.city.streams[j.name]
		for i, sum := range j.sums {
			seq := j.first + uint64(i)
			switch got := s.sum(seq); got {
			case sum:
			case 0:
				w.faults.lose("event %s-%d is in the journal and not in the city", j.name, seq)
			default:
				w.faults.invent("event %s-%d is another in the journal than in the city", j.name, seq)
			}
		}
		if last := j.first + uint64(len(j.sums)) - 1; s != nil && uint64(len(s.sums)) > last {
			w.faults.invent("stream %s ends with %d in the journal and with %d in the city", j.name, last, len(s.sums))
		}
	}
	for name := range w.city.streams {
		// Names rise with time; an older one has made room.
		if !durable[name] && name > journal[0].name {
			w.faults.invent("stream %s is in the city and not in the journal", name)
		}
	}
}

// compareStreams looks for holes: within the streams, and between one and the
// next.
func (w *torture) compareStreams() {
	first := 0
	follows := make(map[string]string)
	for name, s := range w.city.streams {
		for i, sum := range s.sums {
			if sum == 0 {
				w.faults.lose("event %s-%d never came", name, i+1)
			}
		}
		p := s.previous
		if p == nil {
			first++
			continue
		}
		before := w.city.streams[p.Stream]
		if before == nil || uint64(len(before.sums)) != p.Seq || p.Clean {
			w.faults.lose("stream %s follows %+v, which was killed and is not so in the city", name, *p)
		}
		if other, taken := follows[p.Stream]; taken {
			w.faults.invent("streams %s and %s both follow %s", name, other, p.Stream)
		}
		follows[p.Stream] = name
	}
	if first != 1 {
		w.faults.lose("%d streams follow none", first)
	}
}

// checkChain has the city's audit check the chain of all that came: whoever was killed and
// whatever came twice or late, nothing of it looks as if somebody had changed it.
func (w *torture) checkChain() {
	w.city.mu.Lock()
	defer w.city.mu.Unlock()
	var findings string
	if w.verdict, findings = w.audit.captured(); findings != "" {
		w.t.Errorf("audit: %s\n%.3000s", w.verdict, findings)
	}
}

// conclude prints the closing line, also of a run that could not be finished.
func (w *torture) conclude() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.city.mu.Lock()
	defer w.city.mu.Unlock()
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	name := "torture:"
	if !w.compared {
		name = "torture: broken off before comparing:"
	}
	fmt.Printf("%s kills=%d broker-restarts=%d tty-cuts=%d city-absences=%d taps=%d unanswered=%d refused=%d tags=%d delivered=%d in-batches=%d redelivered=%d lost=%d invented=%d repeats=%d audit=%q receipts=%t seed=%d\n",
		name, w.kills, w.restarts, w.cuts, w.absences, w.green, w.silent, w.refused, w.lines.Load(),
		w.city.delivered, w.city.packed, w.city.again, w.faults.lost, w.faults.invented, w.repeats, w.verdict, w.receipts, w.seed)
}
