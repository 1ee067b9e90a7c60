package uplink

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// executed remembers which commands were carried out, so that none is carried out
// twice: not because the broker delivers it again, not because somebody keeps it and
// sends it again, and not after a restart. A command is refused once it has expired,
// and none may expire more than an hour ahead, so that only the commands of an hour
// need to be remembered.
//
// A command that does something is saved in the journal before it is carried out. One
// that only reads (ping, report) does no harm when it is answered twice after a crash:
// to spare the disk it is saved together with the next one, or when the uplink ends.
//
// Only the goroutine that handles commands uses it, and Uplink.Run after that has
// ended.
type executed struct {
	journal Journal
	all     []execution
	unsaved bool
}

// execution is a command that was carried out.
type execution struct {
	sum     uint64 // hash of its name and tx
	expires int64  // seconds since 1970
}

const (
	// latest is how far ahead a command may expire, and leeway by how much the
	// sender's clock may be ahead of the gateway's.
	latest = time.Hour
	leeway = 10 * time.Second

	// maxExecuted bounds the commands that are remembered. While there are so many,
	// no further one that does something is carried out.
	maxExecuted = 512

	executedNote   = "commands" // the note's name in the journal
	executionBytes = 16         // of one command in it: sum and expires, big-endian
)

// errTooMany is why a command that could not be remembered is not carried out.
var errTooMany = fmt.Errorf("more than %d commands within an hour: none that does something is carried out for now", maxExecuted)

// newExecuted reads which commands earlier processes carried out.
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

// has reports whether a command was carried out.
func (x *executed) has(name, tx string) bool {
	sum := sumOf(name, tx)
	return slices.ContainsFunc(x.all, func(c execution) bool { return c.sum == sum })
}

// add remembers a command as carried out, and forgets those that expired before the
// instant past. After an error a command that does something must not be carried out.
func (x *executed) add(name, tx string, expires, past time.Time, does bool) error {
	if !past.IsZero() {
		x.all = slices.DeleteFunc(x.all, func(c execution) bool { return c.expires < past.Unix() })
	}
	if len(x.all) >= maxExecuted {
		return errTooMany
	}
	x.all = append(x.all, execution{sumOf(name, tx), expires.Unix()})
	x.unsaved = true
	if !does {
		return nil
	}
	return x.save()
}

// save saves the commands in the journal if there are new ones.
func (x *executed) save() error {
	if !x.unsaved {
		return nil
	}
	note := make([]byte, 0, executionBytes*len(x.all))
	for _, c := range x.all {
		note = binary.BigEndian.AppendUint64(note, c.sum)
		note = binary.BigEndian.AppendUint64(note, uint64(c.expires))
	}
	if err := x.journal.Save(executedNote, note); err != nil {
		return errors.Join(errors.New("it cannot be noted that this was carried out"), err)
	}
	x.unsaved = false
	return nil
}
