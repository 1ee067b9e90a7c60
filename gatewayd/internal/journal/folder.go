package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openInFolder opens a file beside or of the journal, as os.OpenFile does.
//
// Where root runs a command on the journal of somebody else, the gateway's own
// user may have put anything into its folder, and has to go on with what the
// command leaves there. So no link is followed, neither a symbolic nor a hard
// one, and the file becomes the owner's of the folder. The folder is held open
// meanwhile, so that both are the same one.
func openInFolder(path string, flag int, perm os.FileMode) (*os.File, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var folder unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &folder); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: dir.Name(), Err: err}
	}
	foreign := os.Geteuid() == 0 && folder.Uid != 0
	flag |= unix.O_CLOEXEC
	if foreign {
		flag |= unix.O_NOFOLLOW | unix.O_NONBLOCK // a pipe must not have us wait for its other end
	}
	fd, err := unix.Openat(int(dir.Fd()), filepath.Base(path), flag, uint32(perm.Perm()))
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Openat(int(dir.Fd()), filepath.Base(path), flag, uint32(perm.Perm()))
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if foreign {
		if err := takeOn(f, folder); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// takeOn makes a file the owner's of its folder.
func takeOn(f *os.File, folder unix.Stat_t) error {
	var file unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &file); err != nil {
		return &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if file.Mode&unix.S_IFMT != unix.S_IFREG || file.Uid == folder.Uid && file.Gid == folder.Gid {
		return nil
	}
	if file.Nlink > 1 {
		return &fs.PathError{Op: "open", Path: f.Name(), Err: fmt.Errorf("it has another name, and another owner than its folder: %w", unix.EPERM)}
	}
	if err := f.Chown(int(folder.Uid), int(folder.Gid)); err != nil {
		return err
	}
	return nil
}
