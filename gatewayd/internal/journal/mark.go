package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/presence"
)

// mark lies beside the journal and says that there is one: without it, a
// journal that vanished could not be told from one that never was. It is
// written at each start, and when the journal turns out to be damaged.
type mark struct {
	Stream  presence.ID `json:"stream"`            // of the last start
	Suspect string      `json:"suspect,omitempty"` // why the whole file must be looked through
}

// markPath is where the mark of a journal lies: journal.mark for journal.db.
func markPath(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".mark"
}

// readMark reads the mark. One that cannot be read still says that there was a
// journal.
func readMark(path string) (m mark, there bool) {
	var text []byte
	f, err := durable.OpenFile(markPath(path), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false
	}
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(f, maxNote))
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return mark{}, true
	}
	return m, true
}

// writeMark writes the mark durably.
func writeMark(path string, m mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	if err := durable.WriteFile(markPath(path), append(text, '\n'), fileMode); err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	return nil
}
