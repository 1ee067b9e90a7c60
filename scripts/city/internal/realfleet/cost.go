package realfleet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Memory is the anonymous memory of a process in bytes (proc(5), status: RssAnon): what
// it takes for itself alone.
func Memory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no RssAnon", pid)
}

// ProcessorTime is the time that a process has spent on processors (proc(5), stat: utime
// and stime, in hundredths of a second).
func ProcessorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is a name in brackets, which may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const utime, stime = 11, 12 // behind the name
	if len(fields) <= stime {
		return 0, fmt.Errorf("process %d: stat has %d fields", pid, len(fields))
	}
	var ticks int64
	for _, n := range []int{utime, stime} {
		t, err := strconv.ParseInt(fields[n], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process %d: %w", pid, err)
		}
		ticks += t
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
