package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
)

// SetAside moves the journal at a path, which is another gateway's, out of the way: into
// former/ID beside it, where gatewayd-provision puts journals too. It returns that folder.
// The journal is not changed, and `gatewayd deliver --state` finds it there. It fails with
// ErrHeld while another process uses the journal.
func SetAside(path string) (folder string, err error) {
	f, err := durable.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("set journal aside: %w", err)
	}
	defer f.Close()
	if err := lock(f, unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("set journal aside: %w", err)
	}
	id := OriginAt(path).Gateway
	if !regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(id) {
		id = "unknown"
	}
	folder = filepath.Join(filepath.Dir(path), "former", id)
	for n := 2; ; n++ {
		if _, err := os.Lstat(filepath.Join(folder, filepath.Base(path))); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", fmt.Errorf("set journal aside: %w", err)
		}
		folder = filepath.Join(filepath.Dir(path), "former", fmt.Sprintf("%s-%d", id, n))
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", fmt.Errorf("set journal aside: %w", err)
	}
	// The journal last: without it, a mark that is left would tell of a loss.
	for _, file := range []string{path + ".new", markPath(path), path} {
		err := os.Rename(file, filepath.Join(folder, filepath.Base(file)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set journal aside: %w", err)
		}
	}
	for _, dir := range []string{folder, filepath.Dir(folder), filepath.Dir(path)} {
		if err := durable.SyncNames(dir); err != nil {
			return "", fmt.Errorf("set journal aside: %w", err)
		}
	}
	return folder, nil
}
