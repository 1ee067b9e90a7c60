package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/presence"
)

// exportsFile is the log of exports in the state directory: whoever takes data
// out is in it, and nobody whom the data is about.
const exportsFile = "exports.log"

// maxExports bounds the file in bytes. What is older goes to one file beside
// it, and then away.
const maxExports = 1 << 20

// exportLine is one line of the log of exports.
type exportLine struct {
	Time   *string `json:"time"` // null while the gateway does not know it
	UID    int     `json:"uid"`
	User   string  `json:"user,omitempty"`
	Format string  `json:"format"`
	Day    string  `json:"day,omitempty"`
	Since  string  `json:"since,omitempty"`
	Until  string  `json:"until,omitempty"`
}

// logExport notes who takes what out, before it is taken.
func logExport(stateDir string, x control.Export, who int, now *string) error {
	line := exportLine{Time: now, UID: who, Format: x.Format}
	if u, err := user.LookupId(strconv.Itoa(who)); err == nil {
		line.User = u.Username
	}
	if !x.Day.IsZero() {
		line.Day = x.Day.Format(time.DateOnly)
	}
	if !x.Since.IsZero() {
		line.Since = x.Since.Format(presence.TimeLayout)
	}
	if !x.Until.IsZero() {
		line.Until = x.Until.Format(presence.TimeLayout)
	}
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("write log of exports: %w", err)
	}
	path := filepath.Join(stateDir, exportsFile)
	if info, err := os.Stat(path); err == nil && info.Size() > maxExports {
		if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write log of exports: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("write log of exports: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write log of exports: %w", err)
	}
	return nil
}
