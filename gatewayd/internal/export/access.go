package export

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// accessFile is the name of the log of exports in the state directory. It says who
// took data out, and names nobody whom the data is about.
const accessFile = "exports.log"

// maxAccessFile bounds the file in bytes. A longer one is renamed to exports.log.1,
// in place of the one before.
const maxAccessFile = 1 << 20

// accessMode lets nobody but the gateway's own user read the log.
const accessMode = 0o600

// What somebody does with people's data.
const (
	ActionExport = "export"
	ActionWatch  = "watch"
	ActionForget = "forget"
	ActionRecord = "record"
)

// Access is one line of the log of exports: that somebody exported or watched
// people's data, or removed it.
type Access struct {
	Time   *string `json:"time"` // null while the gateway does not know it
	Action string  `json:"action"`
	UID    int     `json:"uid"`
	User   string  `json:"user,omitempty"`
	Format string  `json:"format,omitempty"`
	Day    string  `json:"day,omitempty"`
	Month  string  `json:"month,omitempty"`
	Badges int     `json:"badges,omitempty"` // how many badges it was restricted to
	Sealed bool    `json:"sealed,omitempty"` // with what lies between the seals around the span
	Since  string  `json:"since,omitempty"`
	Until  string  `json:"until,omitempty"`
}

// AccessOf is the line for an export by the user uid.
func AccessOf(x Request, uid int) Access {
	l := Access{Action: ActionExport, UID: uid, Format: x.Format, Badges: len(x.Badges), Sealed: x.Sealed}
	if !x.Day.IsZero() {
		l.Day = x.Day.Format(time.DateOnly)
	}
	if !x.Month.IsZero() {
		l.Month = x.Month.Format(monthLayout)
	}
	if !x.Since.IsZero() {
		l.Since = x.Since.Format(presence.TimeLayout)
	}
	if !x.Until.IsZero() {
		l.Until = x.Until.Format(presence.TimeLayout)
	}
	return l
}

// Append appends the line to the log in a state directory. The file belongs to the
// gateway's user, whoever writes: a command that root runs must neither leave a file
// that the gateway cannot write to, nor follow a link that the gateway's user put
// there.
func (l Access) Append(stateDir string) (err error) {
	defer func() {
		if err != nil {
			err = language.Errorf("write log of exports: %v", "tulis catatan ekspor: %v", err)
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
	closeToOthers(dir)
	var old unix.Stat_t
	if unix.Fstatat(dir, accessFile, &old, unix.AT_SYMLINK_NOFOLLOW) == nil && old.Size > maxAccessFile {
		if err := unix.Renameat(dir, accessFile, dir, accessFile+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Without O_NONBLOCK, opening a pipe of that name would wait for a reader.
	fd, err := unix.Openat(dir, accessFile, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, accessMode)
	if err != nil {
		return &fs.PathError{Op: "open", Path: accessFile, Err: err}
	}
	f := os.NewFile(uintptr(fd), accessFile)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = language.Errorf("%s is no ordinary file", "%s bukan berkas biasa", accessFile)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); err == nil && ok && s.Nlink > 1 {
		err = language.Errorf("%s is another file's second name", "%s adalah nama kedua berkas lain", accessFile)
	}
	if owner, ok := ownerOf(stateDir); err == nil && ok && os.Geteuid() == 0 {
		err = f.Chown(owner.uid, owner.gid)
	}
	if err == nil {
		_, err = f.Write(append(b, '\n'))
	}
	return errors.Join(err, f.Close())
}

// CloseToOthers takes the log in a state directory away from everybody but its owner,
// where an earlier version left it readable for the group. That it cannot be done is no
// reason not to start a gateway.
func CloseToOthers(stateDir string) {
	dir, err := unix.Open(stateDir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	closeToOthers(dir)
}

// closeToOthers is CloseToOthers for an open folder. Root follows no link here that the
// gateway's user put there, and changes no file that has another name as well.
func closeToOthers(dir int) {
	for _, name := range []string{accessFile, accessFile + ".1"} {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		var s unix.Stat_t
		if unix.Fstat(fd, &s) == nil && s.Mode&unix.S_IFMT == unix.S_IFREG && s.Nlink == 1 && s.Mode&0o777&^accessMode != 0 {
			_ = unix.Fchmod(fd, accessMode)
		}
		_ = unix.Close(fd)
	}
}

// owner is a user and a group.
type owner struct{ uid, gid int }

// ownerOf returns the owner of a folder, false if that cannot be found out.
func ownerOf(dir string) (owner, bool) {
	var s unix.Stat_t
	if unix.Stat(dir, &s) != nil {
		return owner{}, false
	}
	return owner{int(s.Uid), int(s.Gid)}, true
}
