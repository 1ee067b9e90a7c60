//go:build vm

package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// doctor looks at the gateway as the technician does, who is not root, and finds nothing
// wrong but that nobody tells this machine the time.
func (w *walk) doctor() {
	text, _ := w.types("gatewayd doctor")
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 160 {
			w.t.Errorf("a line has %d characters: %s", n, line)
		}
	}
	if !strings.Contains(text, "checks: ") {
		w.t.Error("it does not say how many checks are well")
	}
	out, _ := w.try("gatewayd doctor --json")
	var d diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	well := make(map[string]bool)
	for _, c := range d.Checks {
		if c.Level == "ok" {
			well[c.Code] = true
		}
		if c.Level == "fail" && c.Code != "clock" {
			w.t.Errorf("%s fails: %s", c.Code, c.EN)
		}
	}
	for _, code := range []string{"config", "running", "reader", "serial", "receiver", "badge-key", "key-file", "disk", "broker", "topics"} {
		if !well[code] {
			w.t.Errorf("%s is not well: %s", code, out)
		}
	}
}

// renewal takes a renewed certificate from the city's web server, under the sandbox of
// the unit: asked for by hand, and by the timer of itself.
func (w *walk) renewal() {
	const pem = "/var/lib/gatewayd/tls/gateway.pem"
	serial := "openssl x509 -noout -serial -in "
	renew := func(how, command string) {
		w.t.Helper()
		w.k.Authority("sign", filepath.Join(w.k.CA, "requests", w.id+".csr"))
		issued := strings.TrimSpace(sh(w.t, "", "sh", "-c", serial+filepath.Join(w.k.CA, "issued", w.id+".pem")))
		if w.run(serial+pem) == issued {
			w.t.Fatal("there is nothing to renew")
		}
		w.run(command)
		w.await(2*time.Minute, "test $("+serial+pem+") = "+issued)
		if got := w.run("stat -c '%U:%G %a' " + pem); got != "gatewayd:gatewayd 644" {
			w.t.Errorf("renewed %s, it is %s", how, got)
		}
	}
	renew("by hand", "systemctl start gatewayd-renew")
	// As after two days without power, and without the hour in which offices take turns.
	w.override("gatewayd-renew.timer", "RandomizedDelaySec=1s")
	renew("by the timer", "systemctl stop gatewayd-renew.timer && touch -d '2 days ago' /var/lib/systemd/timers/stamp-gatewayd-renew.timer && systemctl start gatewayd-renew.timer")
	w.await(time.Minute, "test $(journalctl --no-pager -u gatewayd-renew | grep -c 'renewed: "+w.id+" until') = 2")
	// The gateway goes on with it at its next connection, and is not started again.
	before := w.run("systemctl show -p MainPID --value gatewayd")
	w.k.broker.Stop()
	w.k.broker.Restart()
	w.running()
	w.taps("gatewayd sim tap --reader door --uid 04C10000000000", 1, time.Minute)
	w.everyGreenTapArrives()
	if after := w.run("systemctl show -p MainPID --value gatewayd"); after != before {
		w.t.Errorf("it was started again: process %s, then %s", before, after)
	}
}

// override sets something of a timer in this machine, as systemctl edit does. An empty
// setting takes all times of the timer away.
func (w *walk) override(timer, setting string) {
	w.t.Helper()
	folder := "/etc/systemd/system/" + timer + ".d"
	w.run("mkdir -p " + folder + " && printf '[Timer]\\n" + setting + "\\n' >" + folder + "/test.conf && systemctl daemon-reload")
}

// rename gives the gateway another id in two visits. With usb it cannot be had by
// mistake, and the gateway goes on until the second visit.
func (w *walk) rename() {
	const id = "dinkes-02"
	w.putIn(w.stick)
	w.refused("this gateway is "+w.id+", not "+id, "sudo gatewayd-provision usb "+id+" dinkes")
	w.succeeds("The gateway goes on as "+w.id, "sudo gatewayd-provision rename "+id+" dinkes")
	w.taps("gatewayd sim tap --reader door --uid 04D10000000000", 1, time.Minute)
	w.everyGreenTapArrives()
	w.toTheCity(id, w.signs)
	w.delivered()
	w.succeeds(w.id+" is "+id+" now", "sudo gatewayd-provision rename "+id+" dinkes", response{"^Passphrase of the badge key", kittest.BadgePassphrase})
	w.takeOut()
	w.retired(w.id)
	w.id = id
	w.running()
	w.taps("gatewayd sim tap --reader door --uid 04D20000000000", 1, time.Minute)
	came := func(m brokertest.Message) bool { return m.Topic == "presence/v1/dinkes/"+id+"/event/badge" }
	if !slices.ContainsFunc(w.everyGreenTapArrives(), came) {
		w.t.Errorf("no tap came as %s", id)
	}
}

// delivered waits until the city has all that the gateway has.
func (w *walk) delivered() {
	w.t.Helper()
	w.await(time.Minute, `gatewayd status --json | grep -q '"pending": *0[,}]'`)
}

// retired is what the city does when a gateway is no more.
func (w *walk) retired(id string) {
	w.t.Helper()
	if out := w.k.Authority("retire", id, w.k.broker.Address()); !strings.Contains(out, "topics cleared") {
		w.t.Errorf("ca.sh retire %s says %s", id, out)
	}
	w.k.broker.Stop()
	w.k.broker.Restart() // and reads what was revoked
}

// rollback installs a version that does not get ready. The version before comes back by
// itself, and everybody is told.
func (w *walk) rollback() {
	tree, name := w.t.TempDir(), "gatewayd_99_amd64.deb"
	command(w.t, "dpkg-deb", "-R", w.deb, tree)
	debtest.Write(w.t, filepath.Join(tree, "usr/bin/gatewayd"), "#!/bin/sh\nexit 1\n", 0o755)
	control := filepath.Join(tree, "DEBIAN/control")
	command(w.t, "sed", "-i", "s/^Version:.*/Version: 99/", control)
	folder := w.t.TempDir()
	command(w.t, "dpkg-deb", "--build", "--root-owner-group", tree, filepath.Join(folder, name))
	w.stick.write(folder)
	w.override("gatewayd-rollback.timer", "OnActiveSec=\\nOnActiveSec=20s") // not three minutes
	good := w.run("gatewayd version")

	w.putIn(w.stick)
	w.succeeds("", "sudo mount -o ro /dev/sd?1 /mnt")
	w.succeeds("Upgraded to 99", "sudo bash /mnt/install.sh /mnt/"+name)
	w.await(2*time.Minute, "test -s /var/lib/gatewayd-rollback/rolled-back && systemctl is-active gatewayd")
	w.running()
	if back := w.run("gatewayd version"); back != good {
		w.t.Errorf("what is back says it is %s, not %s", back, good)
	}
	w.alert("rolled-back", true)
	w.last("info", "what dpkg says", func(info string) bool { return strings.Contains(info, `"rolled_back":{"version":"","package":"99"}`) })
	if out := w.run("dpkg -l gatewayd | tail -n 1"); !strings.Contains(out, " 99 ") {
		w.t.Errorf("dpkg -l says %s", out)
	}
	version := strings.Fields(good)[1]
	if out, _ := w.try("COLUMNS=160 gatewayd doctor"); !strings.Contains(strings.Join(strings.Fields(out), " "), version+" is back, though dpkg -l says 99") {
		w.t.Errorf("doctor does not tell of it:\n%s", out)
	}
	w.taps("gatewayd sim tap --reader door --uid 04E10000000000", 1, time.Minute)
	w.everyGreenTapArrives()
	// Another version that works ends it.
	w.succeeds("the gateway stays what it was", "sudo bash /mnt/install.sh /mnt/"+filepath.Base(w.deb))
	w.running()
	w.alert("rolled-back", false)
	w.last("info", "no rollback", func(info string) bool { return info != "" && !strings.Contains(info, "rolled_back") })
	w.run("umount /mnt")
	w.takeOut()
	w.stick.remove(name) // install.sh would take it as the newest
}

// alert waits until the broker keeps an alert of the gateway, or none any more.
func (w *walk) alert(code string, stands bool) {
	w.t.Helper()
	w.last("alert/"+code, fmt.Sprintf("the alert to stand: %v", stands), func(alert string) bool { return (alert != "") == stands })
}

// last waits until the last message on a topic of the gateway is what is wanted.
func (w *walk) last(topic, what string, ok func(payload string) bool) {
	w.t.Helper()
	topic = "presence/v1/dinkes/" + w.id + "/" + topic
	w.seen.AwaitFor(time.Minute, topic+" to say "+what, func(messages []brokertest.Message) bool {
		for _, m := range slices.Backward(messages) {
			if m.Topic == topic {
				return ok(string(m.Payload))
			}
		}
		return false
	})
}

// retire takes the gateway's name and its secrets away, and makes another gateway of
// the Pi in one visit.
func (w *walk) retire() {
	const id = "dinkes-03"
	w.delivered()
	w.succeeds(w.id+" no more", "sudo gatewayd-provision retire")
	if left := w.run("cd /; ls -d etc/gatewayd/badge.key etc/gatewayd/renew.conf etc/gatewayd/city-ca.pem var/lib/gatewayd/tls/gateway.key* var/lib/gatewayd/tls/gateway.pem var/lib/gatewayd/tls/seal.* 2>/dev/null; true"); left != "" {
		w.t.Errorf("of %s there is left:\n%s", w.id, left)
	}
	w.retired(w.id)
	w.id = id
	w.putIn(w.stick)
	w.succeeds("take the stick to the city", "sudo gatewayd-provision usb "+id+" dinkes", w.paper()...)
	w.takeOut()
	// This office has a line: one visit is enough. It records at once, and fetches its
	// certificate, for which it is not asked to wait ten minutes here.
	w.override("gatewayd-first-certificate.timer", "OnActiveSec=\\nOnActiveSec=5s\\nOnUnitInactiveSec=10s\\nRandomizedDelaySec=1s")
	w.succeeds("certificate", "sudo gatewayd-provision start")
	w.taps("gatewayd sim tap --reader door --uid 04F10000000000", 1, time.Minute)
	w.inTheCity(id, w.signs)
	w.running()
	w.everyGreenTapArrives()
	// With it came that of its seal key, by the same service in its sandbox.
	w.await(time.Minute, "test \"$(stat -c '%U:%G %a' /var/lib/gatewayd/tls/seal.pem)\" = 'gatewayd:gatewayd 644'")
}

// purge asks before it removes what the city does not have, and then leaves nothing.
func (w *walk) purge() {
	w.putIn(w.stick)
	w.succeeds("", "sudo mount -o ro /dev/sd?1 /mnt")
	w.k.broker.Stop()
	w.run("gatewayd sim tap --reader door --uid 04F20000000000 --count 3")
	const question = `^Remove them\? \[y/N\] $`
	before := w.run("find /etc/gatewayd /var/lib/gatewayd | sort")
	w.refused("3 events wait that the city does not have", "sudo bash /mnt/install.sh uninstall --purge", response{question, ""})
	w.run("systemctl is-active gatewayd")
	if after := w.run("find /etc/gatewayd /var/lib/gatewayd | sort"); after != before {
		w.t.Errorf("something was removed: there was\n%s\nand is\n%s", before, after)
	}
	w.succeeds("Removed, with the journal and the keys", "sudo bash /mnt/install.sh uninstall --purge", response{question, "y"})
	if left := w.run("ls -d /etc/gatewayd /var/lib/gatewayd /var/lib/gatewayd-rollback /usr/bin/gatewayd /etc/systemd/system/*/gatewayd* 2>/dev/null; dpkg-query -W gatewayd 2>/dev/null; true"); left != "" {
		w.t.Errorf("something is left:\n%s", left)
	}
	w.run("umount /mnt")
	w.takeOut()
	w.k.broker.Restart()
}
