//go:build vm

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

const (
	// vmBound is how long the whole test may take.
	vmBound = 25 * time.Minute

	// powerCuts is how often the machine loses its power in the middle of taps.
	powerCuts = 5

	// receiverPort is how the serial receiver of the machine is called, whatever number
	// its tty has.
	receiverPort = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_YARD-if00-port0"
)

// walk is the life of one gateway in a machine: what the parts of TestVM share.
type walk struct {
	*machine
	k     *kit
	seen  *brokertest.City
	stick *stick
	id    string          // who the gateway is
	deb   string          // the package for the machine
	typed int             // commands of the technician
	setup setup           // what the set-up took
	shown string          // the fingerprint that the Pi showed last
	green map[string]bool // events whose taps went green
}

// setup is what it takes from a fresh Debian, at an office with a stick of the city, to the
// first tap at the broker.
type setup struct {
	commands int
	took     time.Duration
}

// TestVM is a gateway's life in a machine of its own, as a technician and a city live
// it with the kit: set up from a FAT stick, renewed, renamed, upgraded to a version
// that does not work, replaced, retired, restored and purged, with a real systemd and dpkg. Its daemon hangs,
// its receiver is pulled, and the power goes in the middle of taps. The set-up comes
// always; -run 'TestVM/(rename|purge)' walks these parts of what follows.
func TestVM(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), vmBound)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { panic("the test in the machine took longer than " + vmBound.String()) })
	defer stop()
	started := time.Now()
	w := newWalk(t)
	w.boot()
	w.refusesWrongPackages()
	w.setUp()
	for _, part := range []struct {
		name string
		walk func(*walk)
	}{
		{"doctor", (*walk).doctor},
		{"watchdog", (*walk).watchdog},
		{"renewal", (*walk).renewal},
		{"hotplug", (*walk).hotplug},
		{"rename", (*walk).rename},
		{"rollback", (*walk).rollback},
		{"powercuts", (*walk).powerCuts},
		{"replace", (*walk).replace},
		{"retire", (*walk).retire},
		{"restore", (*walk).restore},
		{"purge", (*walk).purge},
	} {
		began := time.Now()
		if !t.Run(part.name, func(t *testing.T) { w.machine.t = t; part.walk(w) }) {
			break // what comes next rests on it
		}
		w.machine.t = t
		t.Logf("vm-test: %s in %s", part.name, time.Since(began).Round(time.Second))
	}
	if t.Failed() {
		return
	}
	messages := w.everyGreenTapArrives()
	w.cut()
	// An empty one clears what the broker kept of a gateway that is no more.
	messages = slices.DeleteFunc(slices.Clone(messages), func(m brokertest.Message) bool { return len(m.Payload) == 0 })
	t.Logf("vm-test: set-up commands=%d of at most %d, seconds=%.0f from a fresh Debian to the first tap at the broker; boots=%d green=%d delivered=%d lost=%d in %s",
		w.setup.commands, atMostTyped, w.setup.took.Seconds(),
		w.boots, len(w.green), len(events(t, validator(t), messages)), missing(messages, w.green), time.Since(started).Round(time.Second))
}

// newWalk makes the machine, the city's side as its guide says, and a stick for the
// office.
func newWalk(t *testing.T) *walk {
	t.Helper()
	image, deb := os.Getenv("VM_IMAGE"), os.Getenv("VM_DEB")
	if image == "" || deb == "" {
		t.Fatal("say make vm-test, which makes VM_IMAGE and VM_DEB")
	}
	w := &walk{machine: &machine{t: t, image: image, work: t.TempDir()}, deb: deb, id: "dinkes-01", green: make(map[string]bool)}
	w.freshCard()
	w.k = newKit(t)
	w.k.Authority("client", "admin")
	w.seen = w.k.city()
	w.k.writeTemplate()
	debtest.Write(t, filepath.Join(w.k.CA, "renew-url"), w.k.webServer()+"/issued\n", 0o644)
	list := "id,dinas,lat,lon,radius,receivers\n"
	for _, id := range []string{"dinkes-01", "dinkes-02", "dinkes-03"} {
		list += id + ",dinkes,-7.9778,112.634,100,yard=kenwood@" + receiverPort + "\n"
	}
	debtest.Write(t, filepath.Join(w.k.CA, "offices.csv"), list, 0o644)
	w.k.Bundle()
	if out := w.k.Authority("bundle", w.k.Stick); strings.Contains(out, "lacks") {
		t.Fatalf("ca.sh bundle says %s", out)
	}
	w.stick = newStick(t)
	w.stick.write(w.k.Stick)
	return w
}

// writeTemplate changes the city's template for the machine of the test.
func (k *kit) writeTemplate() {
	k.t.Helper()
	template := filepath.Join(k.CA, "dinkes.toml")
	text := k.Edit(debtest.Read(k.t, template), map[string]string{
		k.broker.Address(): fmt.Sprintf("mqtt.example.go.id:%d", k.broker.Port),
		`source = "trust"`: `source = "kernel"`,
		"receipts  = true": "receipts  = false", // this city has no recorder that would confirm
		"[badges]\n":       "[hours]\nalways = true\n\n[badges]\nrepeat_window = \"0s\"\n",
	})
	debtest.Write(k.t, template, text, 0o644)
}

// running waits until the gateway is at work and the broker has it.
func (w *walk) running() {
	w.t.Helper()
	w.await(2*time.Minute, `systemctl is-active gatewayd && systemctl is-enabled gatewayd && gatewayd status --json | grep -q '"connected": *true'`)
}

// starts is how often systemd has started the gateway again by itself.
func (w *walk) starts() string {
	w.t.Helper()
	return w.run("systemctl show -p NRestarts --value gatewayd")
}

// A daemon that hangs does not feed the watchdog: systemd kills it and starts it again.
func (w *walk) watchdog() {
	if n := w.starts(); n != "0" {
		w.t.Fatalf("it was started again %s times before anything hung\n%s", n, w.run("journalctl --no-pager -n 60 -u gatewayd"))
	}
	w.run("systemctl kill -s STOP gatewayd")
	w.await(3*time.Minute, `test "$(systemctl show -p NRestarts --value gatewayd)" = 1 && systemctl is-active gatewayd && gatewayd status`)
	if log := w.run("journalctl --no-pager -u gatewayd | grep -i watchdog"); log == "" {
		w.t.Error("nobody says that it was the watchdog")
	}
}

// The power goes in the middle of taps: what was green is there.
func (w *walk) powerCuts() {
	for round := range powerCuts {
		uid := fmt.Sprintf("04B0%02X00000000", round)
		w.taps(fmt.Sprintf("gatewayd sim tap --reader door --uid %s --count 1000 --hold 20ms --every 0s", uid), 5+rand.IntN(40), 2*time.Minute)
		w.cut()
		w.boot()
		w.await(2*time.Minute, "systemctl is-active gatewayd && gatewayd status")
		if n := w.starts(); n != "0" {
			w.t.Errorf("after boot %d it was started again %s times\n%s", w.boots, n, w.run("journalctl --no-pager -n 60 -u gatewayd"))
		}
	}
	w.everyGreenTapArrives()
	w.run("systemctl stop gatewayd && gatewayd verify && systemctl start gatewayd")
}

// everyGreenTapArrives waits for that, and returns all messages of the city.
func (w *walk) everyGreenTapArrives() []brokertest.Message {
	w.t.Helper()
	return w.seen.AwaitFor(2*time.Minute, "every tap that went green", func(m []brokertest.Message) bool {
		return missing(m, w.green) == 0
	})
}

// taps runs a command that taps, until enough of them went green; the command goes on.
func (w *walk) taps(command string, enough int, bound time.Duration) {
	w.t.Helper()
	if _, err := fmt.Fprintln(w.con, command); err != nil {
		w.t.Fatal(err)
	}
	timeout := time.After(bound)
	var other []string
	for came := 0; came < enough; {
		select {
		case line, ok := <-w.lines:
			if !ok {
				w.t.Fatal("the machine went")
			}
			var a answer
			if json.Unmarshal([]byte(line), &a) != nil {
				other = append(other, line)
				continue
			}
			if a.Outcome != "accepted" {
				w.t.Fatalf("a tap was not accepted: %s", line)
			}
			w.green[a.id()] = true
			came++
		case <-timeout:
			_, _ = io.WriteString(w.con, "\x03") // whatever runs there ends, and what is typed with it is lost
			<-time.After(time.Second)
			log, _ := w.try("systemctl show -p NRestarts gatewayd; journalctl --no-pager -n 60 -u gatewayd")
			w.t.Fatalf("not %d taps in %s; the machine said\n%s\n%s", enough, bound, strings.Join(other, "\n"), log)
		}
	}
}

// beacon sends what a tag's radio would.
func (w *walk) beacon() {
	w.t.Helper()
	if _, err := io.WriteString(w.tags, beacontest.PKLDS(100, 1001, -7.9778, 112.634, time.Now())); err != nil {
		w.t.Fatal(err)
	}
}

// missing counts the green taps that did not come.
func missing(messages []brokertest.Message, green map[string]bool) int {
	came := make(map[string]bool)
	for _, m := range messages {
		var e event
		if strings.Contains(m.Topic, "/event/") && json.Unmarshal(m.Payload, &e) == nil {
			came[e.ID] = true
		}
	}
	n := 0
	for id := range green {
		if !came[id] {
			n++
		}
	}
	return n
}
