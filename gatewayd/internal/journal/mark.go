package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
	text, err := os.ReadFile(markPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false
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
	name := markPath(path)
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	return syncDir(name)
}
