package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OpenFile opens a file as os.OpenFile does, with care for who owns its folder.
//
// A command that root runs on the gateway's state directory works in a folder of the
// gateway's own user, who may have put anything there, and whose daemon must be able
// to go on with the files that the command leaves. So root follows no link there,
// neither a symbolic nor a hard one, and the file is given to the owner of the folder.
// The folder is held open meanwhile, so that nobody can exchange it.
func OpenFile(path string, flag int, perm os.FileMode) (*os.File, error) {
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
	truncate := foreign && flag&os.O_TRUNC != 0
	if foreign {
		flag &^= os.O_TRUNC                       // done below, once it is known whose file it is
		flag |= unix.O_NOFOLLOW | unix.O_NONBLOCK // opening a pipe must not wait for its other end
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
		err := giveTo(folder, f)
		if err == nil && truncate {
			err = f.Truncate(0)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// giveTo gives a file to the owner of its folder.
func giveTo(folder unix.Stat_t, f *os.File) error {
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
	return f.Chown(int(folder.Uid), int(folder.Gid))
}
