package roster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"presence/gatewayd/internal/presence"
)

const (
	// maxFile is the largest roster file, in bytes.
	maxFile = 4 << 20

	// checkEvery is how often it is checked whether the file has changed.
	checkEvery = time.Second

	// A file that has just changed may still be being written. It is read once it has
	// not changed for quietFor, and for quietForUnended if its last line has no end.
	quietFor        = 2 * time.Second
	quietForUnended = 10 * time.Second
)

// errChanging means that the file changed while it was read.
var errChanging = errors.New("it changes while it is read")

// ReadFile reads a roster file. The error is of type Problems where the file's
// content is wrong.
func ReadFile(path string, badges presence.Badges) ([]Pair, error) {
	data, _, err := read(path)
	if err != nil {
		return nil, err
	}
	return ParseCSV(data, badges)
}

// nothing says that a file which is to be signed is empty.
const nothing = "is empty: write the heading badge,tag alone to say that nobody is in the roster"

// ReadEntries reads a roster file, under the same rules, into what the city signs: key is
// that of the gateway that it goes to. Without one card numbers stay as they are, and
// that gateway hashes them. Nobody in it is a roster as well, but it has to be said: a file
// without anything in it is one that was never written, and would take back all that
// badges have to show.
func ReadEntries(path string, key *[32]byte) ([]Pair, error) {
	data, _, err := read(path)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, Problems{{Text: nothing}}
	}
	var badges namer = asWritten{}
	if key != nil {
		badges = presence.HashedBadges(*key)
	}
	pairs, err := parseCSV(data, badges)
	if err == nil && pairs == nil {
		pairs = []Pair{}
	}
	return pairs, err
}

// Follower keeps a roster up to date with a file.
type Follower struct {
	path   string
	badges presence.Badges
	roster *Roster
	log    *slog.Logger

	seen        version   // at the last check
	since       time.Time // since when it is this version
	versionRead bool      // whether this version was read

	mu      sync.Mutex
	problem error
}

// version tells a file from what it was before.
type version struct {
	there   bool
	inode   uint64
	size    int64
	changed int64 // its content or its name; nanoseconds of the wall clock
}

// Follow reads a file into the roster; Run does so again whenever it changes.
func Follow(path string, badges presence.Badges, r *Roster, log *slog.Logger) *Follower {
	f := &Follower{path: path, badges: badges, roster: r, log: log}
	data, v, err := read(path)
	f.seen, f.versionRead = v, !errors.Is(err, errChanging)
	f.apply(data, err)
	return f
}

// Run follows the file until the context ends.
func (f *Follower) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	f.since = time.Now()
	for {
		select {
		case now := <-tick.C:
			f.check(now)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Problem is why the file as it is now is not in force, nil if it is.
func (f *Follower) Problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem
}

// check reads the file if it has changed and is no longer being written.
func (f *Follower) check(now time.Time) {
	info, err := os.Stat(f.path)
	if err != nil {
		info = nil // reading it says why
	}
	if v := versionOf(info); v != f.seen {
		f.seen, f.since, f.versionRead = v, now, false
		return
	}
	rest := now.Sub(f.since)
	if f.versionRead || rest < quietFor {
		return
	}
	data, v, err := read(f.path)
	if v != f.seen || errors.Is(err, errChanging) {
		f.seen, f.since = v, now
		return
	}
	if err == nil && !bytes.HasSuffix(data, []byte("\n")) && rest < quietForUnended {
		return
	}
	f.versionRead = true
	f.apply(data, err)
}

// apply puts what was read in force, or notes why it is refused: then the roster
// stays as it was.
func (f *Follower) apply(data []byte, err error) {
	var pairs []Pair
	if err == nil {
		pairs, err = ParseCSV(data, f.badges)
	}
	if err == nil {
		f.roster.SetFile(pairs)
		f.log.Info("roster file read", "file", f.path, "pairs", len(pairs))
	} else {
		f.log.Warn("roster file is refused, what was before stays in force", "file", f.path, "error", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem = err
}

// read returns the content of an ordinary file of bounded size, and its version.
// Anything else, such as a pipe, could block for ever.
func read(path string) ([]byte, version, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, version{}, fmt.Errorf("cannot be read: %w", withoutPath(err))
	}
	before := versionOf(info)
	if !info.Mode().IsRegular() {
		return nil, before, errors.New("is no ordinary file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, before, fmt.Errorf("cannot be read: %w", withoutPath(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, before, fmt.Errorf("cannot be read: %w", withoutPath(err))
	}
	if len(data) > maxFile {
		return nil, before, fmt.Errorf("is larger than %d bytes: this is no roster of an office", maxFile)
	}
	info, err = f.Stat()
	if err != nil {
		return nil, before, fmt.Errorf("cannot be read: %w", withoutPath(err))
	}
	if after := versionOf(info); after != before {
		return nil, after, errChanging
	}
	return data, before, nil
}

// versionOf is the version that a file is in; nil stands for none.
func versionOf(info fs.FileInfo) version {
	if info == nil {
		return version{}
	}
	v := version{there: true, size: info.Size(), changed: info.ModTime().UnixNano()}
	// The time of the last change of the inode cannot be set by those who copy
	// the other one along.
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		v.inode, v.changed = s.Ino, s.Ctim.Nano()
	}
	return v
}

// withoutPath takes the operation and the path off an error that is printed beside
// the path anyway.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
