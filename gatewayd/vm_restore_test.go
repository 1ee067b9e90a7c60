//go:build vm

package main_test

import (
	"path/filepath"
	"time"

	"presence/scripts/deb/debtest"
)

// restore breaks the Pi while taps wait on its card, after its certificate was taken back.
// The card goes into a machine that has the package and no name, as the page in
// scripts/INSTALL.md says: what waits is sent under a certificate that the city issues for
// that alone. The Pi that takes the place of the broken one gets its configuration back.
func (w *walk) restore() {
	const (
		changed = "# changed at the office"
		state   = "--state /mnt/var/lib/gatewayd"
	)
	w.run("sed -i '1i " + changed + "' /etc/gatewayd/gatewayd.toml && sync")
	w.k.broker.Stop()
	w.taps("gatewayd sim tap --reader door --uid 04BB0000000000 --count 3 --hold 50ms --every 100ms", 3, time.Minute)
	w.cut()
	old := w.freshCard()
	w.k.Authority("revoke", w.id)
	w.k.broker.Restart()
	w.boot()
	w.putIn(w.stick)
	w.succeeds("", "sudo mount -o ro /dev/sda1 /mnt")
	w.succeeds("Now: sudo gatewayd-provision usb ID DINAS", "sudo bash /mnt/install.sh")
	w.succeeds("", "sudo umount /mnt")
	w.takeOut()

	w.insertCard(old)
	w.succeeds(" 3 waiting", "sudo gatewayd verify "+state)
	w.succeeds(w.id, "sudo gatewayd export "+state+" --format csv")
	w.refused("no line to the broker", "sudo gatewayd deliver --patience 20s "+state)
	w.succeeds("", "sudo openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN="+w.id+
		" -keyout /mnt/var/lib/gatewayd/tls/gateway.key -out /tmp/"+w.id+".csr")
	request := filepath.Join(w.t.TempDir(), w.id+".csr")
	debtest.Write(w.t, request, w.run("cat /tmp/"+w.id+".csr")+"\n", 0o644)
	w.signs(request)
	w.run("cat >/tmp/issued.pem <<'END'\n" + debtest.Read(w.t, filepath.Join(w.k.CA, "issued", w.id+".pem")) + "END")
	w.succeeds("", "sudo install -m 644 /tmp/issued.pem /mnt/var/lib/gatewayd/tls/gateway.pem")
	w.succeeds("dinkes/"+w.id+": 3 events delivered", "sudo gatewayd deliver "+state)
	w.everyGreenTapArrives()
	w.succeeds(" 0 waiting", "sudo gatewayd verify "+state)
	w.removeCard()
	w.k.Authority("revoke", w.id)

	// On the stick there is still the certificate of the broken one, for another key.
	w.putIn(w.stick)
	w.succeeds("take the stick to the city", "sudo gatewayd-provision usb "+w.id+" dinkes", w.paper()...)
	w.toTheCity(w.id, w.signs)
	w.k.broker.Stop()
	w.k.broker.Restart() // and reads what was revoked
	w.succeeds("certificate of "+w.id+" is in place", "sudo gatewayd-provision usb "+w.id+" dinkes")
	w.takeOut()
	w.running()
	w.insertCard(old)
	w.succeeds("", "sudo install -m 644 /mnt/etc/gatewayd/gatewayd.toml /etc/gatewayd/gatewayd.toml")
	w.succeeds("ok (gateway "+w.id, "sudo gatewayd check")
	w.succeeds("", "sudo systemctl reload gatewayd")
	w.removeCard()
	w.succeeds(changed, "head -n 1 /etc/gatewayd/gatewayd.toml")
	w.running()
	w.taps("gatewayd sim tap --reader door --uid 04BC0000000000", 1, time.Minute)
	w.everyGreenTapArrives()
}
