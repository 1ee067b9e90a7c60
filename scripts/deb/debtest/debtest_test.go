package debtest_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"presence/scripts/deb/debtest"
)

// TestWhatIsWrittenRuns: a program that a test has written runs, also while others start
// programs at the same time.
func TestWhatIsWrittenRuns(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for n := range 60 {
				program := filepath.Join(dir, fmt.Sprintf("%d-%d", worker, n))
				debtest.Write(t, program, "#!/bin/sh\n", 0o755)
				if out, err := exec.Command(program).CombinedOutput(); err != nil {
					t.Errorf("%v %s", err, out)
				}
			}
		})
	}
	all.Wait()
}
