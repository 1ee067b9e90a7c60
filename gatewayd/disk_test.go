package main_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
	"presence/scripts/skiptest"
)

// mounted mounts something for the time of a test.
func mounted(t *testing.T, source, at, kind string, flags uintptr, data string) (unmount func()) {
	t.Helper()
	if err := syscall.Mount(source, at, kind, flags, data); err != nil {
		skiptest.NoRoot(t, fmt.Sprintf("mount %s: %v", at, err))
	}
	return sync.OnceFunc(func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Errorf("unmount %s: %v", at, err)
		}
	})
}

// readOnlyDisk has the whole disk read-only.
func readOnlyDisk(t *testing.T, state string) (reason string, mend func()) {
	remount := func(flags uintptr) {
		if err := syscall.Mount("", state, "", syscall.MS_REMOUNT|flags, "size=8m"); err != nil {
			t.Fatalf("remount: %v", err)
		}
	}
	remount(syscall.MS_RDONLY)
	return "", func() { remount(0) } // there is no place for the socket that a mocked card comes through
}

// readOnlyJournal has the journal alone read-only.
func readOnlyJournal(t *testing.T, state string) (reason string, mend func()) {
	path := filepath.Join(state, "journal.db")
	unmount := mounted(t, path, path, "", syscall.MS_BIND, "")
	if err := syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unmount)
	return "read-only", unmount
}

// fullDisk fills the disk, on which there is no journal.
func fullDisk(t *testing.T, state string) (reason string, mend func()) {
	for _, name := range []string{"journal.db", "journal.mark"} {
		if err := os.Remove(filepath.Join(state, name)); err != nil {
			t.Fatal(err)
		}
	}
	filler := filepath.Join(state, "filler")
	if err := os.WriteFile(filler, make([]byte, 16<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return "disk-full", func() {
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
}

// alerted tells whether the newest word on the alert journal-closed is that it is
// raised, or that it is cleared.
func alerted(raised bool) func(m []brokertest.Message) bool {
	return func(m []brokertest.Message) bool {
		for _, m := range slices.Backward(m) { // the newest word counts
			if strings.HasSuffix(m.Topic, "/alert/journal-closed") {
				return (len(m.Payload) > 0) == raised
			}
		}
		return false
	}
}

// TestADiskThatTakesNothingAtTheStart starts a gateway whose disk cannot be
// written. It runs all the same, says so, answers red, and when the disk can be
// written again it is as if it had always been.
func TestADiskThatTakesNothingAtTheStart(t *testing.T) {
	t.Parallel()
	const before, meanwhile = "5A000001", "5A000002"
	for name, spoil := range map[string]func(t *testing.T, state string) (reason string, mend func()){
		"the whole disk is read-only":              readOnlyDisk,
		"the journal is read-only":                 readOnlyJournal,
		"the disk is full and there is no journal": fullDisk,
	} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t)
			seen := b.Subscribe("presence/v1/+/+/alert/#")
			g := newGateway(t, b.URL(), "")
			state := filepath.Join(g.dir, "state")
			if err := os.Mkdir(state, 0o750); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(mounted(t, "tmpfs", state, "tmpfs", 0, "size=8m"))
			t.Cleanup(g.kill) // before the disk goes
			g.start()
			first := g.tap("--uid", before)[0]
			if first.Outcome != "accepted" {
				t.Fatalf("%+v", first)
			}
			g.stop()

			reason, mend := spoil(t, state)
			g.launch()
			seen.Await("the alert", alerted(true))
			if reason != "" {
				if a := g.tap("--uid", meanwhile)[0]; a.Outcome != "refused" || a.Reason != reason {
					t.Errorf("%+v, want %s", a, reason)
				}
				if h := g.health(); h.Level != presence.LevelFault {
					t.Errorf("level %s", h.Level)
				}
				if out, code := g.try("verify"); code != 1 {
					t.Errorf("verify: exit %d\n%s", code, out)
				}
			}
			mend()
			g.await("the gateway to take taps", func() bool {
				_, code := g.try("sim", "tap", "--reader", "door", "--uid", meanwhile)
				return code == 0
			})
			want := "repeat"
			if reason == "disk-full" {
				want = "accepted" // its journal is new
			}
			if a := g.tap("--uid", before)[0]; a.Outcome != want || want == "repeat" && a.id() != first.id() {
				t.Errorf("a badge from before: %+v", a)
			}
			if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
				t.Errorf("verify says %s", out)
			}
			messages := seen.Await("the alert to go", alerted(false))
			v := validator(t)
			for _, m := range messages {
				if err := v.Validate(m.Topic, m.Payload); err != nil {
					t.Error(err)
				}
			}
			g.stop()
		})
	}
}
