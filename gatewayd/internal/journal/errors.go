package journal

import (
	"errors"
)

// Error is why an event was not recorded.
type Error struct {
	reason string
	err    error
}

// Reason is a word for machines: "journal-full", "journal-closed", "disk-full",
// "read-only", "write-failed", "journal-damaged" or "stopping".
func (e *Error) Reason() string { return e.reason }

func (e *Error) Error() string { return "record event: " + e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

const (
	reasonFailed  = "write-failed"
	reasonDamaged = "journal-damaged"
	reasonClosed  = "journal-closed"
)

// Failed is closed when the file can no longer be used through this handle:
// after a failed sync nobody knows what the disk holds. The process should
// leave and be started again.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err is why Failed is closed.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// fail closes Failed; the first reason stays. A journal that turns out to be
// damaged is looked through as a whole at the next start.
func (j *Journal) fail(err *Error) {
	j.mu.Lock()
	first := j.err == nil
	if first {
		j.err = err
	}
	j.mu.Unlock()
	if !first {
		return
	}
	if err.reason == reasonDamaged {
		if markErr := writeMark(j.opt.Path, mark{Stream: j.stream, Suspect: err.Error()}); markErr != nil {
			j.opt.Log.Error("the mark beside the journal is not up to date", "error", markErr)
		}
	}
	close(j.failed)
}

var (
	// ErrFull means that the journal has its largest size and nothing in it may
	// be forgotten.
	ErrFull = &Error{"journal-full", errors.New("the journal has its largest size (max_mb) and all of it still waits for delivery")}

	errBusy = &Error{reasonFailed, errors.New("the disk does not keep up")}

	errSilent = &Error{reasonClosed, errors.New("the journal was opened to be delivered, not to be written")}

	errClosed = &Error{"stopping", errors.New("the journal is closed")}
)
