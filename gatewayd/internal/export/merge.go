package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/recap"
)

// ErrDamaged means that a journal is damaged, and the export is therefore not complete.
var ErrDamaged error = language.Errorf("the journal is damaged, and what cannot be read is not printed: gatewayd verify says what is wrong; a gateway that is started saves what it can and names the rest", "jurnal rusak, dan yang tidak terbaca tidak dicetak: gatewayd verify menyebut kerusakannya; gateway yang dijalankan menyelamatkan yang masih terbaca dan menyebut sisanya")

// Writer writes one gateway's export. Where it returns ErrDamaged, it has written
// what there is.
type Writer func(io.Writer, Request) error

// Merge writes what several gateways have as one export: events in JSON lines in the
// order of their times, or one recap.
func Merge(w io.Writer, x Request, gateways []Writer) error {
	if x.IsRecap() {
		return mergeSheets(w, x, gateways)
	}
	if x.Format != JSONLines {
		return fmt.Errorf("merge exports: events are merged as %s only", JSONLines)
	}
	return mergeEvents(w, x, gateways)
}

func mergeSheets(w io.Writer, x Request, gateways []Writer) error {
	asked := x
	asked.Format = SheetJSON
	var sheets []recap.Sheet
	var damaged error
	for _, write := range gateways {
		var text bytes.Buffer
		err := write(&text, asked)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		damaged = errors.Join(damaged, err)
		var s recap.Sheet
		if err := json.Unmarshal(text.Bytes(), &s); err != nil {
			return fmt.Errorf("read recap: %w", err)
		}
		s.Origin.Location = zone(x)
		sheets = append(sheets, s)
	}
	sheet, err := recap.Merge(sheets...)
	if err != nil {
		return err
	}
	return errors.Join(WriteSheet(w, sheet, x), damaged)
}

// zone is where a recap's day is one: JSON does not carry it.
func zone(x Request) *time.Location {
	if !x.Month.IsZero() {
		return x.Month.Location()
	}
	return x.Day.Location()
}

// errEnough ends an export of which no more is read.
var errEnough = errors.New("no more is read")

// queue is the events of one gateway that are not merged yet.
type queue struct {
	next func() ([]byte, bool)
	stop func()
	err  error // why there are no more; set once next has returned false

	line []byte // nil: there is none any more
	// at is when the line's event was, or the one before it where that is not known or
	// was later: a gateway's own events stay in their order.
	at time.Time
}

// advance reads the next line.
func (q *queue) advance() {
	line, ok := q.next()
	if q.line = line; !ok {
		q.line = nil
		return
	}
	var event struct {
		Time *time.Time `json:"time"`
	}
	if json.Unmarshal(line, &event) == nil && event.Time != nil && event.Time.After(q.at) {
		q.at = *event.Time
	}
}

func mergeEvents(w io.Writer, x Request, gateways []Writer) error {
	var queues []*queue
	defer func() {
		for _, q := range queues {
			q.stop()
		}
	}()
	for _, write := range gateways {
		q := &queue{}
		q.next, q.stop = iter.Pull(lines(write, x, &q.err))
		queues = append(queues, q)
		// Others may have to be waited for: nobody needs them any more.
		if q.advance(); q.failed() {
			return q.err
		}
	}
	buffered := bufio.NewWriterSize(w, 64<<10)
	for first := earliest(queues); first != nil; first = earliest(queues) {
		if _, err := buffered.Write(first.line); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
		if first.advance(); first.failed() {
			return errors.Join(first.err, buffered.Flush())
		}
	}
	err := buffered.Flush()
	for _, q := range queues {
		err = errors.Join(err, q.err)
	}
	return err
}

// failed reports whether the export broke off. A damaged journal is read to its end.
func (q *queue) failed() bool { return q.err != nil && !errors.Is(q.err, ErrDamaged) }

// earliest is the queue whose event was first, nil if all are empty.
func earliest(queues []*queue) (first *queue) {
	for _, q := range queues {
		if q.line != nil && (first == nil || q.at.Before(first.at)) {
			first = q
		}
	}
	return first
}

// lines are those that an export writes, each with its line feed. The error of the
// export is in failed when they have ended.
func lines(write Writer, x Request, failed *error) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := &splitter{yield: yield}
		if err := write(s, x); !errors.Is(err, errEnough) {
			*failed = err
		}
	}
}

// splitter passes each line that is written to it on.
type splitter struct {
	yield func([]byte) bool
	part  []byte // of a line that has not ended
	over  bool
}

// Write implements io.Writer.
func (s *splitter) Write(p []byte) (int, error) {
	s.part = append(s.part, p...)
	for !s.over {
		i := bytes.IndexByte(s.part, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := bytes.Clone(s.part[:i+1])
		s.part = s.part[i+1:]
		s.over = !s.yield(line)
	}
	return 0, errEnough
}
