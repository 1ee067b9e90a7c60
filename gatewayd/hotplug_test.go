package main_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
)

// TestARadioThatIsPulledIsFoundAgain, each time under another number, pulled at any
// moment of a frame: nothing of the time before is left behind. HOTPLUG=100 pulls it so
// many times.
func TestARadioThatIsPulledIsFoundAgain(t *testing.T) {
	t.Parallel()
	times := 5
	if n, err := strconv.Atoi(os.Getenv("HOTPLUG")); err == nil {
		times = n
	}
	b := brokertest.Start(t)
	seen := b.Subscribe("presence/v1/+/+/event/tag")
	link := filepath.Join(t.TempDir(), "by-id")
	for _, protocol := range []string{"kenwood", "meshtastic"} {
		g := newGateway(t, b.URL(), everyTag+strings.Replace(receiver(link), "kenwood", protocol, 1))
		g.start()
		var descriptors, threads int
		for i := range times {
			radio, port, pull := openLine(t)
			plug(t, port, link)
			frame, tag := beacontest.PKNDS(i, -7.9777, 112.6331, time.Now()), fmt.Sprintf("kenwood:U%05d", i)
			if protocol == "meshtastic" {
				frame = beacontest.Meshtastic(uint32(i+1), uint32(i+1), -7.9777, 112.6331, time.Now(), -90, 5)
				tag = fmt.Sprintf("mesh:%08x", i+1)
			}
			_, _ = io.WriteString(radio, frame)
			g.await("the tag "+tag, func() bool { return strings.Contains(string(joined(seen.Messages())), `"tag":"`+tag+`"`) })
			_, _ = io.WriteString(radio, frame[:i%len(frame)])
			if i == 1 { // all that is opened once is open
				descriptors, threads = g.count("fd"), g.count("task")
			}
			unplug(t, link, pull)
		}
		_, port, pull := openLine(t)
		plug(t, port, link)
		g.await("the radio", func() bool { return g.health().Receivers[0].State != "gone" })
		if fd, task := g.count("fd"), g.count("task"); fd > descriptors+2 || task > threads+5 {
			t.Errorf("%s: %d descriptors became %d, %d threads %d", protocol, descriptors, fd, threads, task)
		}
		unplug(t, link, pull)
		g.stop()
	}
}

func plug(t *testing.T, port, link string) {
	t.Helper()
	if err := os.Symlink(port, link); err != nil {
		t.Fatal(err)
	}
}

// unplug takes the device away, and then its name.
func unplug(t *testing.T, link string, pull func()) {
	t.Helper()
	pull()
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
}

// count is how many entries a folder of the daemon's process has (proc(5)).
func (g *gateway) count(folder string) int {
	g.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", g.cmd.Process.Pid, folder))
	if err != nil {
		g.t.Fatal(err)
	}
	return len(entries)
}
