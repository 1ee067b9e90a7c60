package pi

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Account is a user as passwd(5) and group(5) know it.
type Account struct {
	Name   string
	UID    int
	Groups []int // ids, the primary one first
}

// Account finds a user by name; false where there is none.
func (b Board) Account(name string) (Account, bool) {
	for line := range strings.Lines(string(b.read("etc/passwd"))) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] != name {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 != nil || err2 != nil {
			return Account{}, false
		}
		a := Account{Name: name, UID: uid, Groups: []int{gid}}
		for _, g := range b.groups() {
			if slices.Contains(g.members, name) {
				a.Groups = append(a.Groups, g.id)
			}
		}
		return a, true
	}
	return Account{}, false
}

// With is the account with groups added by name. Those that do not exist are
// left out.
func (b Board) With(a Account, names ...string) Account {
	a.Groups = slices.Clone(a.Groups)
	for _, name := range names {
		if id, ok := b.Group(name); ok {
			a.Groups = append(a.Groups, id)
		}
	}
	return a
}

// Group finds a group's id by its name.
func (b Board) Group(name string) (id int, ok bool) {
	for _, g := range b.groups() {
		if g.name == name {
			return g.id, true
		}
	}
	return 0, false
}

// GroupName is the name of a group, its number where it has none.
func (b Board) GroupName(id int) string {
	for _, g := range b.groups() {
		if g.id == id {
			return g.name
		}
	}
	return strconv.Itoa(id)
}

type group struct {
	name    string
	id      int
	members []string
}

func (b Board) groups() (all []group) {
	for line := range strings.Lines(string(b.read("etc/group"))) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 {
			continue
		}
		if id, err := strconv.Atoi(f[2]); err == nil {
			all = append(all, group{name: f[0], id: id, members: strings.Split(f[3], ",")})
		}
	}
	return all
}

// File is what a file's owner lets others do.
type File struct {
	Path     string // as asked for
	UID, GID int
	Mode     fs.FileMode // its permissions
}

// File looks at a path of the board, through symbolic links. The error wraps
// fs.ErrNotExist where there is none.
func (b Board) File(path string) (File, error) {
	var st unix.Stat_t
	full, err := b.follow(path)
	if err != nil {
		return File{}, err
	}
	if err := unix.Stat(full, &st); err != nil {
		return File{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return File{Path: path, UID: int(st.Uid), GID: int(st.Gid), Mode: fs.FileMode(st.Mode & 0o777)}, nil
}

// Target is the path of the board that a path leads to.
func (b Board) Target(path string) string {
	full, err := b.follow(path)
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(b.Root, full)
	if err != nil {
		return path
	}
	return "/" + rel
}

// follow resolves symbolic links. Those of /dev/serial are relative, so they
// stay below the root.
func (b Board) follow(path string) (string, error) {
	full, err := filepath.EvalSymlinks(filepath.Join(b.Root, path))
	if err != nil {
		return "", err
	}
	return full, nil
}

// Needs are the permissions that somebody needs of a file.
type Needs fs.FileMode

// What somebody needs.
const (
	Read      Needs = 4
	ReadWrite Needs = 6
	Enter     Needs = 7 // and change, of a folder
)

// Allows reports whether an account has what it needs by the file's mode (as
// path_resolution(7) says; there are no other ways, such as ACLs, in use here).
func (f File) Allows(a Account, needs Needs) bool {
	bits := fs.FileMode(needs)
	switch {
	case a.UID == 0:
		return true
	case a.UID == f.UID:
		return f.Mode>>6&bits == bits
	case slices.Contains(a.Groups, f.GID):
		return f.Mode>>3&bits == bits
	}
	return f.Mode&bits == bits
}

// Unit are the settings of a service that say who it runs as.
type Unit struct {
	Path   string // "" where no such unit is installed
	User   string
	Groups []string
}

// Unit reads the unit file of a service with its drop-ins (systemd.unit(5)).
func (b Board) Unit(name string) Unit {
	var u Unit
	for _, dir := range []string{"etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"} {
		if text := b.read(filepath.Join(dir, name)); text != nil {
			u.Path = "/" + filepath.Join(dir, name)
			u.read(string(text))
			break
		}
	}
	for _, dir := range []string{"usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system"} {
		for _, path := range b.glob(filepath.Join(dir, name+".d", "*.conf")) {
			u.read(string(b.read(path)))
		}
	}
	return u
}

func (u *Unit) read(text string) {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "User":
			u.User = value
		case "SupplementaryGroups":
			if value == "" {
				u.Groups = nil // an empty assignment clears the list
			}
			u.Groups = append(u.Groups, strings.Fields(value)...)
		}
	}
}

// Holder is a process that has a file open.
type Holder struct {
	PID  int
	Name string
}

// Holders are the processes that have a file of the board open, as far as the
// caller may see them: root sees all, others their own.
func (b Board) Holders(path string) (all []Holder) {
	target := b.Target(path)
	for _, link := range b.glob("proc/[0-9]*/fd/*") {
		to, err := os.Readlink(filepath.Join(b.Root, link))
		if err != nil || to != target {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || slices.ContainsFunc(all, func(h Holder) bool { return h.PID == pid }) {
			continue
		}
		all = append(all, Holder{PID: pid, Name: strings.TrimSpace(string(b.read(filepath.Join(dir, "comm"))))})
	}
	return all
}
