package supervise

import (
	"bytes"
	"context"
	"path"
	"runtime/pprof"
	"strconv"
	"strings"
)

// label is the key under which a goroutine's profile names the task that it works
// for (runtime/pprof, Do).
const label = "task"

// Mark runs f as a part of a task, so that profiles, and the log of a task that hangs,
// can say where it stands. Goroutines that f starts are marked as well.
func Mark(ctx context.Context, task string, f func(context.Context)) {
	pprof.Do(ctx, pprof.Labels(label, task), f)
}

// maxStack bounds what stack returns, in bytes. It is one line of the log.
const maxStack = 2048

// stack says where the goroutines of a task stand, "" where none is marked as the
// task's: their frames from the innermost to the outermost, joined by " < ", and the
// goroutines by " | ".
func stack(task string) string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return "" // a buffer takes everything
	}
	wanted := strconv.Quote(label) + ":" + strconv.Quote(task)
	var goroutines []string
	for entry := range strings.SplitSeq(profile.String(), "\n\n") {
		if _, labels, ok := strings.Cut(entry, "\n# labels: "); ok && strings.Contains(labels, wanted) {
			goroutines = append(goroutines, strings.Join(frames(entry), " < "))
		}
	}
	all := strings.Join(goroutines, " | ")
	if len(all) > maxStack {
		all = strings.ToValidUTF8(all[:maxStack], "") + "..."
	}
	return all
}

// frames are those of an entry of a goroutine profile in words, each "function
// file:line", without those that start every task.
func frames(entry string) []string {
	var all []string
	for line := range strings.SplitSeq(entry, "\n") {
		// "#\t0x4a1b2c\tpackage.function+0x6c\t/path/file.go:123"
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "#\t0x") || len(fields) != 4 {
			continue
		}
		function, _, _ := strings.Cut(fields[2], "+0x")
		if function == "runtime/pprof.Do" {
			break
		}
		all = append(all, function+" "+path.Base(fields[3]))
	}
	return all
}
