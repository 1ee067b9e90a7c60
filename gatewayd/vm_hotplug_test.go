//go:build vm

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/gatewayd/internal/presence"
)

// replugs is how often the receiver is pulled and put back.
const replugs = 10

// hotplug pulls the receiver in the middle of a frame and puts it back, as another tty
// every other time. It is found again each time, and nothing of the one before is kept.
func (w *walk) hotplug() {
	heard := w.hears(w.receiver().Frames)
	files, goroutines := w.descriptors(), w.goroutines()
	ttys := make(map[string]bool)
	for round := range replugs {
		frame := beacontest.PKLDS(100, 1001, -7.9778, 112.634, time.Now())
		if _, err := io.WriteString(w.tags, frame[:len(frame)*round/replugs]); err != nil {
			w.t.Fatal(err)
		}
		w.unplug("yard")
		w.receiverIs("gone")
		// Another adapter takes the number that has become free, or frees it again.
		if round%2 == 0 {
			w.plug("usb-serial", "other", map[string]any{"serial": "OTHER", "chardev": "other", "always-plugged": true})
			w.await(time.Minute, "udevadm settle; ls /dev/serial/by-id/*OTHER*")
		} else {
			w.unplug("other")
			w.await(time.Minute, "udevadm settle; ! ls /dev/serial/by-id/*OTHER*")
		}
		w.plug("usb-serial", "yard", map[string]any{"serial": "YARD", "chardev": "tags", "always-plugged": true})
		w.receiverIs("ok")
		heard = w.hears(heard)
		ttys[w.run("readlink -f "+receiverPort)] = true
	}
	if len(ttys) < 2 {
		w.t.Errorf("it always was %v", ttys)
	}
	w.await(time.Minute, fmt.Sprintf("test $(ls /proc/$(systemctl show -p MainPID --value gatewayd)/fd | wc -l) -le %d", files))
	w.await(time.Minute, fmt.Sprintf("test $(%s) -le %d", countGoroutines, goroutines))
	w.t.Logf("vm-test: receiver pulled and put back %d times, as %v; descriptors %d before, %d after; goroutines %d before, %d after",
		replugs, ttys, files, w.descriptors(), goroutines, w.goroutines())
}

// receiver is what the gateway says of it.
func (w *walk) receiver() presence.ReceiverHealth {
	w.t.Helper()
	out := w.run("gatewayd status --json")
	var h presence.Health
	if err := json.Unmarshal([]byte(out), &h); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	i := slices.IndexFunc(h.Receivers, func(r presence.ReceiverHealth) bool { return r.Name == "yard" })
	if i < 0 {
		w.t.Fatalf("there is no receiver: %s", out)
	}
	return h.Receivers[i]
}

// receiverIs waits for a state of the receiver.
func (w *walk) receiverIs(state string) {
	w.t.Helper()
	w.until("the receiver is "+state, func() bool { return w.receiver().State == state })
}

// hears sends a tag's position until the gateway has heard more frames than before, and
// returns how many.
func (w *walk) hears(before int64) (frames int64) {
	w.t.Helper()
	w.until("a frame is heard", func() bool {
		w.beacon()
		frames = w.receiver().Frames
		return frames > before
	})
	return frames
}

// until waits for something that is looked at again and again.
func (w *walk) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); <-time.After(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s\n%s", what, w.run("gatewayd status --json; journalctl --no-pager -n 40 -u gatewayd"))
		}
	}
}

// descriptors is how many files the daemon has open.
func (w *walk) descriptors() int {
	w.t.Helper()
	return w.number("ls /proc/$(systemctl show -p MainPID --value gatewayd)/fd | wc -l")
}

const countGoroutines = `curl -s --unix-socket /var/lib/gatewayd/control.sock "http://gatewayd/debug/pprof/goroutine?debug=1" | sed -n "s/^goroutine profile: total //p"`

// goroutines is how many the daemon has.
func (w *walk) goroutines() int {
	w.t.Helper()
	return w.number(countGoroutines)
}

func (w *walk) number(command string) int {
	w.t.Helper()
	out := w.run(command)
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		w.t.Fatalf("%s: %s", command, out)
	}
	return n
}
