package journal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
)

// Copy copies a journal that no daemon holds to a path where there is none, so that one
// on a medium which cannot be written can be opened there. The copy is looked through as
// a whole when it is opened.
func Copy(from, to string) error {
	source, err := durable.OpenFile(from, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("copy journal: %w", err)
	}
	defer source.Close()
	if err := lock(source, unix.LOCK_SH); err != nil {
		return fmt.Errorf("copy journal %s: %w", from, err)
	}
	info, err := source.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return fmt.Errorf("copy journal %s: %w", from, err)
	}
	target, err := durable.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return fmt.Errorf("copy journal: %w", err)
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("copy journal: %w", err)
	}
	m, _ := readMark(from) // without one, nothing is known of the last stream
	m.Suspect = "it is a copy"
	return writeMark(to, m)
}
