package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/presence"
)

// exportsFile is the log of exports in the state directory: whoever takes data
// out is in it, and nobody whom the data is about.
const exportsFile = "exports.log"

// maxExports bounds the file in bytes. What is older goes to one file beside
// it, and then away.
const maxExports = 1 << 20

// What somebody does with people's data.
const (
	lookExport = "export"
	lookWatch  = "watch"
	lookForget = "forget"
)

// lookLine is one line of the log of exports.
type lookLine struct {
	Time   *string `json:"time"` // null while the gateway does not know it
	Action string  `json:"action"`
	UID    int     `json:"uid"`
	User   string  `json:"user,omitempty"`
	Format string  `json:"format,omitempty"`
	Day    string  `json:"day,omitempty"`
	Since  string  `json:"since,omitempty"`
	Until  string  `json:"until,omitempty"`
}

// exportLine is the line for an export.
func exportLine(x control.Export, who int) lookLine {
	l := lookLine{Action: lookExport, UID: who, Format: x.Format}
	if !x.Day.IsZero() {
		l.Day = x.Day.Format(time.DateOnly)
	}
	if !x.Since.IsZero() {
		l.Since = x.Since.Format(presence.TimeLayout)
	}
	if !x.Until.IsZero() {
		l.Until = x.Until.Format(presence.TimeLayout)
	}
	return l
}

// write appends the line to the log in a state directory. The file is the
// gateway's, whoever writes: a command of root must neither leave one that the
// gateway cannot write to, nor follow a link that the gateway's user put there.
func (l lookLine) write(stateDir string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write log of exports: %w", err)
		}
	}()
	if u, err := user.LookupId(strconv.Itoa(l.UID)); err == nil {
		l.User = u.Username
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	dir, err := unix.Open(stateDir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var old unix.Stat_t
	if unix.Fstatat(dir, exportsFile, &old, unix.AT_SYMLINK_NOFOLLOW) == nil && old.Size > maxExports {
		if err := unix.Renameat(dir, exportsFile, dir, exportsFile+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Without O_NONBLOCK a pipe of that name would have us wait for a reader.
	fd, err := unix.Openat(dir, exportsFile, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return &fs.PathError{Op: "open", Path: exportsFile, Err: err}
	}
	f := os.NewFile(uintptr(fd), exportsFile)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no ordinary file", exportsFile)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); err == nil && ok && s.Nlink > 1 {
		err = fmt.Errorf("%s is another file's second name", exportsFile)
	}
	if owner, ok := ownerOf(stateDir); err == nil && ok && os.Geteuid() == 0 {
		err = f.Chown(owner.uid, owner.gid)
	}
	if err == nil {
		_, err = f.Write(append(b, '\n'))
	}
	return errors.Join(err, f.Close())
}

// owner is a user and a group.
type owner struct{ uid, gid int }

// ownerOf tells whose a folder is.
func ownerOf(dir string) (owner, bool) {
	var s unix.Stat_t
	if unix.Stat(dir, &s) != nil {
		return owner{}, false
	}
	return owner{int(s.Uid), int(s.Gid)}, true
}

// ownersOnly refuses what only root and the gateway's own user may do, where no
// gateway runs that would refuse it.
func ownersOnly(stateDir string) error {
	me := os.Geteuid()
	if o, ok := ownerOf(stateDir); me == 0 || ok && o.uid == me {
		return nil
	}
	return control.ErrOwnerOnly
}
