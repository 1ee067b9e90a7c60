package journal_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"presence/gatewayd/internal/journal"
	"presence/scripts/childtest"
	"presence/scripts/skiptest"
)

// TestKilledAtAnyMoment kills a process that writes, over and over, on the same
// journal: what it had called green is there.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	dir := fastDir(t)
	rng := rand.New(rand.NewPCG(7, 8))
	told := newTold()
	for range 15 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "JOURNAL_TEST_PROCESS=on", "JOURNAL_TEST_DIR="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := childtest.Start(cmd); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for greens := 5 + rng.IntN(60); greens > 0 && lines.Scan(); {
			told.listen(t, append(lines.Bytes(), '\n'))
			if strings.HasPrefix(lines.Text(), "green") {
				greens--
			}
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		for lines.Scan() { // what it said before it died
			told.listen(t, append(lines.Bytes(), '\n'))
		}
		var died *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &died) || died.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		if err := told.holds(options(filepath.Join(dir, "journal.db"), newClock()), true); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d green or sent", len(told.known))
}

// TestADiskThatIsReallyFull fills a small file system beside the journal.
func TestADiskThatIsReallyFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		skiptest.NoRoot(t, fmt.Sprintf("mount a small tmpfs: %v", err))
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	c := newClock()
	o := options(filepath.Join(dir, "journal.db"), c)
	j := open(t, o)
	for i := range 50 {
		appended(t, j, badge(c, i))
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	large := badge(c, 1)
	large.Badge.Card = strings.Repeat("x", 2000)
	green, refusals := 50, 0
	for refusals < 20 && green < 10_000 {
		_, err := j.Append(t.Context(), large)
		var why *journal.Error
		switch {
		case err == nil:
			green++
		case errors.As(err, &why) && why.Reason() == "disk-full":
			refusals++
		default:
			t.Fatal(err)
		}
	}
	if free := j.Stats().FreeBytes; free > 300<<10 {
		t.Errorf("%d bytes are said to be free", free)
	}
	for range 5 { // starts on a full disk
		closed(t, j)
		j = open(t, o)
		if d := j.Damage(); d != nil {
			t.Fatalf("damage: %+v", d)
		}
	}
	// What is delivered makes room, without the disk.
	j.Ack(j.End())
	for range 20 {
		appended(t, j, large)
		green++
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	appended(t, j, large)
	closed(t, j)
	whole(t, o.Path)
}
