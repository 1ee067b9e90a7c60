package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
)

// Refuse makes a journal without a file, for a gateway whose disk does not let
// Open have one: it holds nothing, and refuses everything with the reason. To
// try again, make a new one.
func Refuse(opt Options, why error) (*Journal, error) {
	j, err := newJournal(opt)
	if err != nil {
		return nil, err
	}
	j.refused = &Error{refusalReason(why), why}
	j.queue.full, j.queue.refusing, j.oldest = true, true, 1
	return j, nil
}

// Refused is why the journal refuses everything since it was made, nil for one
// that is open.
func (j *Journal) Refused() error {
	if j.refused == nil {
		return nil
	}
	return j.refused
}

func refusalReason(err error) string {
	switch {
	case errors.Is(err, unix.EROFS):
		return "read-only"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "disk-full"
	}
	return reasonClosed
}

// Writable tells whether the disk would let Open have a journal here, as far as
// that can be told without opening it.
func Writable(path string) error {
	f, err := durable.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !nothingThere(err) {
		return fmt.Errorf("try to write: %w", err)
	}
	probe := path + ".probe"
	f, err = durable.OpenFile(probe, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("try to write: %w", err)
	}
	_, err = f.Write(make([]byte, growStep))
	if err := errors.Join(err, f.Sync(), f.Close(), os.Remove(probe)); err != nil {
		return fmt.Errorf("try to write: %w", err)
	}
	return nil
}
