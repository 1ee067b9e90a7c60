package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/language"
)

const (
	// fileMode lets nobody but the gateway's own user read the journal. The members of
	// its group ask the running gateway, which logs who did.
	fileMode = 0o600

	// lockTimeout is how long a file that another process holds is waited for.
	lockTimeout = time.Second

	// growStep is by how much the file grows at a time.
	growStep = 256 << 10
)

// ErrHeld means that another process has the journal open.
var ErrHeld error = language.Errorf("a running gatewayd holds it", "dipakai oleh gatewayd yang berjalan")

// errGone means that there was a journal, and is none.
var errGone = boltfile.Damagedf("it is gone")

// openLocked opens the journal's file under an exclusive lock. Where there is
// none it is created, unless there was one.
func openLocked(path string, expected bool) (*os.File, error) {
	for {
		f, err := durable.OpenFile(path, os.O_RDWR, 0)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := provide(path, expected); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		}
		ours, err := lockAt(f, path, expected)
		if err == nil && ours {
			return f, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// provide makes a file where there is none: it completes a rebuild that a power cut
// interrupted, or creates an empty journal, unless there was one.
func provide(path string, expected bool) error {
	if finishRebuild(path) == nil {
		return nil
	}
	if expected {
		return errGone
	}
	return create(path)
}

// lockAt locks an open file, and tells whether it is the journal at the path:
// between opening and locking, another process may have put another file there, and
// an empty file that never was a journal is replaced.
func lockAt(f *os.File, path string, expected bool) (ours bool, err error) {
	if err := lock(f, unix.LOCK_EX); err != nil {
		return false, err
	}
	info, same, err := stillAt(f, path)
	if err != nil || !same {
		return false, err
	}
	closeToOthers(f, info)
	if expected || info.Size() > 0 || !info.Mode().IsRegular() {
		return true, nil
	}
	return false, create(path)
}

// closeToOthers takes the journal away from everybody but its owner, where an earlier
// version or a copy made by hand left it readable for more. That it cannot be done is
// no reason to record nothing.
func closeToOthers(f *os.File, info fs.FileInfo) {
	if info.Mode().IsRegular() && info.Mode().Perm()&^fileMode != 0 {
		_ = f.Chmod(fileMode)
	}
}

// nothingThere reports whether a file could not be opened because there is certainly
// no journal in its place: nothing is there, or something that is not a file. Every
// other error (no permission, a link that is not followed, a disk that does not
// answer, too little memory) may hide a sound journal, which must be left alone.
func nothingThere(err error) bool {
	for _, e := range []error{errGone, unix.EISDIR, unix.ENXIO, unix.ENODEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// diskUnreadable tells whether an error of reading says nothing of the journal: it is
// not one of a bad place on the disk, or nothing at all can be read. A bad place
// is damage: it stays, and what is around it can be saved.
func diskUnreadable(f *os.File, errno unix.Errno) bool {
	if !slices.Contains([]unix.Errno{unix.EIO, unix.ENODATA, unix.EBADMSG, unix.EILSEQ, unix.EUCLEAN}, errno) {
		return true
	}
	info, err := f.Stat()
	if err != nil {
		return true
	}
	// A disk that is gone may take its time over each page.
	const samples = 32
	page := make([]byte, boltfile.PageSize)
	pages := info.Size() / boltfile.PageSize
	for i := range min(pages, samples) {
		at := i
		if pages > samples {
			at = pages * i / samples
		}
		if _, err := f.ReadAt(page, at*boltfile.PageSize); err == nil {
			return false
		}
	}
	return pages > 0
}

// finishRebuild puts a rebuilt journal in its place where a power cut came between.
func finishRebuild(path string) error {
	f, err := durable.OpenFile(path+".new", os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	look := survey{codec: newCodec()}
	if err := errors.Join(look.firstProblem(f), f.Close()); err != nil {
		return err
	}
	return durable.Rename(path+".new", path)
}

// reopened is another handle to an open file: bbolt may have closed this one.
// It is nil where there is no way to get one.
func reopened(f *os.File) *os.File {
	if _, err := f.Stat(); err == nil {
		return f
	}
	again, err := durable.OpenFile(f.Name(), os.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	return again
}

// ignoreClosed drops the error of closing what is closed.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// lock takes the lock that bbolt takes as well: it is the same one, since it
// belongs to the open file. A daemon that was killed a moment ago may still be
// on its way out.
func lock(f *os.File, how int) error {
	deadline := time.Now().Add(lockTimeout)
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(deadline) {
			return ErrHeld
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stillAt tells whether path names this open file.
func stillAt(f *os.File, path string) (open fs.FileInfo, same bool, err error) {
	open, err = f.Stat()
	if err != nil {
		return nil, false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return open, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return open, os.SameFile(open, there), nil
}

// create makes an empty journal: under another name first, so that a power cut
// leaves a whole file or none.
func create(path string) error {
	if err := createAt(path+".new", newCodec()); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return durable.Rename(path+".new", path)
}

// createAt makes a file with nothing in it but the buckets, durably.
func createAt(path string, c codec) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(path, fileMode, &bolt.Options{
		Timeout: lockTimeout, PageSize: boltfile.PageSize, FreelistType: bolt.FreelistMapType, OpenFile: durable.OpenFile,
		NoSync: true, // it is synced as a whole
	})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{bucketEvents, bucketTail, bucketStreams, bucketHoles, bucketMeta, bucketNotes, bucketRevisions} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return c.putChecked(tx.Bucket([]byte(bucketMeta)), []byte(keyState), state{})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return durable.Sync(path)
}

// cacheByPage asks the kernel to cache the file page by page. It would otherwise
// keep the meta pages in one piece with their neighbours, since they came
// together, and count the piece as written each time.
func cacheByPage(f *os.File) {
	// Advice may be ignored, and so may its errors.
	_ = unix.Fadvise(int(f.Fd()), 0, 4*boltfile.PageSize, unix.FADV_DONTNEED)
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)
}

// guard turns a panic of bbolt, and a fault in its map of the file, into an
// error. bbolt starts no goroutine of its own as long as the list of free pages
// is synced.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = boltfile.Damagedf("%v", p)
		}
	}()
	return fn()
}

// retryable reports whether the journal can go on with the same open file after an
// error of a commit, and if so, returns the reason for those whose events were not
// recorded. That is so where a page could not be written: bbolt has undone the
// transaction then. After a failed sync nobody knows what the disk holds.
func retryable(err error) (*Error, bool) {
	var path *fs.PathError
	switch {
	case errors.Is(err, ErrFull):
		return ErrFull, true
	case !errors.As(err, &path) || path.Op != "write" && path.Op != "fallocate":
		return nil, false
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &Error{"disk-full", err}, true
	case errors.Is(err, syscall.EROFS):
		return &Error{"read-only", err}, true
	}
	return nil, false
}
