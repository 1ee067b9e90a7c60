package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile replaces what the file at path holds, or makes the file. The temporary
// file is path with ".new" appended; one that a power cut left behind is
// overwritten. On an error the old file is still there, except if the last step
// failed, the sync of the directory: then the new file is there, but after a power cut
// it may be the old one again.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	temporary := path + ".new"
	f, err := OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary) // if that fails too, the next call overwrites it
		return err
	}
	return syncDir(path)
}

// Rename gives the file at temporary, which is whole and synced, the name path in the
// same directory, in place of the file that had it.
func Rename(temporary, path string) error {
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("put in place: %w", err)
	}
	return syncDir(path)
}

// Sync makes what a file holds durable that was written and closed before.
func Sync(path string) error {
	f, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// syncDir makes the names in a file's directory durable.
func syncDir(path string) error { return SyncNames(filepath.Dir(path)) }

// SyncNames makes the names in a directory durable: of files that were renamed or removed.
func SyncNames(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
