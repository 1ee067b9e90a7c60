package uplink

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// spent remembers which commands were carried out, so that none is twice: not
// because the broker delivers it again, not because somebody keeps it and sends it
// again, and not after a restart. A command is refused once it has expired, and
// none may expire later than in an hour, so that no more need be remembered than
// an hour brings.
//
// What does something is noted in the journal before it is done. What only reads
// (ping, report) harms nobody when it is answered twice after a crash: it is noted
// along with the next one, or at the end, to spare the disk.
//
// Only the goroutine that handles commands uses it, and whoever comes after it.
type executed struct {
	journal Journal
	all     []execution
	unsaved bool
}

// carried is a command that was carried out.
type execution struct {
	sum     uint64 // of its name and tx
	expires int64  // seconds since 1970
}

const (
	// latest is how far ahead a command may expire, and leeway how much more is
	// allowed for clocks that do not agree.
	latest = time.Hour
	leeway = 10 * time.Second

	// mostSpent bounds the commands that are remembered. More that do something
	// are not carried out within an hour.
	maxExecuted = 512

	executedNote   = "commands" // the name of the note
	executionBytes = 16         // of one in it
)

// errTooMany is why a command is not carried out that could not be remembered.
var errTooMany = fmt.Errorf("more than %d commands within an hour: none that does something is carried out for now", maxExecuted)

// newSpent reads what was carried out before.
func newExecuted(j Journal) (*executed, error) {
	s := &executed{journal: j}
	note, err := j.Load(executedNote)
	if err != nil {
		return s, fmt.Errorf("read which commands were carried out: %w", err)
	}
	for ; len(note) >= executionBytes; note = note[executionBytes:] {
		s.all = append(s.all, execution{binary.BigEndian.Uint64(note), int64(binary.BigEndian.Uint64(note[8:]))})
	}
	return s, nil
}

func sumOf(name, tx string) uint64 {
	sum := sha256.Sum256([]byte(name + "\x00" + tx))
	return binary.BigEndian.Uint64(sum[:])
}

// has tells whether a command was carried out.
func (s *executed) has(name, tx string) bool {
	sum := sumOf(name, tx)
	return slices.ContainsFunc(s.all, func(c execution) bool { return c.sum == sum })
}

// add notes that a command is carried out now. An error means that one which does
// something must not be.
func (s *executed) add(name, tx string, expires, past time.Time, does bool) error {
	if !past.IsZero() {
		s.all = slices.DeleteFunc(s.all, func(c execution) bool { return c.expires < past.Unix() })
	}
	if len(s.all) >= maxExecuted {
		return errTooMany
	}
	s.all = append(s.all, execution{sumOf(name, tx), expires.Unix()})
	s.unsaved = true
	if !does {
		return nil
	}
	return s.save()
}

// save writes the note, where there is anything new in it.
func (s *executed) save() error {
	if !s.unsaved {
		return nil
	}
	note := make([]byte, 0, executionBytes*len(s.all))
	for _, c := range s.all {
		note = binary.BigEndian.AppendUint64(note, c.sum)
		note = binary.BigEndian.AppendUint64(note, uint64(c.expires))
	}
	if err := s.journal.Save(executedNote, note); err != nil {
		return errors.Join(errors.New("it cannot be noted that this was carried out"), err)
	}
	s.unsaved = false
	return nil
}
