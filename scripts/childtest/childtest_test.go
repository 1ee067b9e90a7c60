package childtest_test

import (
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"presence/scripts/childtest"
)

// TestChildOutlivesThreads: a child lives on when threads of the test's process end, also
// the one that its test ran on when it started the child.
func TestChildOutlivesThreads(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := childtest.Start(cmd); err != nil {
		t.Fatal(err)
	}
	// More goroutines at once than there are threads, and each takes its thread along.
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			runtime.LockOSThread()
			time.Sleep(10 * time.Millisecond) // keeps the thread, so that the others need theirs
		})
	}
	runtime.LockOSThread()
	runtime.UnlockOSThread()
	all.Wait()
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child ended with %v, want it to end when its input does", err)
	}
}

// TestStartTellsWhatIsWrong: a program that cannot be started is an error, as with exec.Cmd.
func TestStartTellsWhatIsWrong(t *testing.T) {
	if err := childtest.Start(exec.Command("/does/not/exist")); err == nil {
		t.Error("a program that is not there was started")
	}
}
