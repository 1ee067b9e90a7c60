//go:build vm

package main_test

import (
	"strings"
	"time"
)

// replace breaks the Pi while taps wait on its card, and puts another Pi in its place
// under its name, as the page in scripts/INSTALL.md says. What waits on the old card is
// sent from the new Pi, under the old one's certificate as long as that counts.
func (w *walk) replace() {
	w.k.broker.Stop()
	w.taps("gatewayd sim tap --reader door --uid 04B90000000000 --count 5 --hold 50ms --every 100ms", 5, time.Minute)
	w.cut()
	old := w.freshCard()
	w.k.broker.Restart()
	w.boot()
	w.putIn(w.stick)
	w.succeeds("", "sudo mount -o ro /dev/sda1 /mnt")
	w.succeeds("take the stick to the city", "sudo bash /mnt/install.sh "+w.id+" dinkes", w.paper()...)
	w.succeeds("", "sudo umount /mnt")
	w.takeOut()

	w.insertCard(old)
	w.succeeds("dinkes/"+w.id+": 5 events delivered", "sudo gatewayd deliver --state /mnt/var/lib/gatewayd")
	w.everyGreenTapArrives()
	w.succeeds(" 0 waiting", "sudo gatewayd verify --state /mnt/var/lib/gatewayd")
	w.removeCard()

	w.inTheCity(w.id, func(request string) string {
		out, err := w.k.TryAuthority("sign", request)
		if err == nil || !strings.Contains(out, "REPLACE="+w.id) {
			w.t.Errorf("another key under the same name: %v %s", err, out)
		}
		return w.k.Replace(w.id, request)
	})
	w.k.broker.Stop()
	w.k.broker.Restart() // and reads what was revoked
	w.stick.write(w.k.Stick)
	w.putIn(w.stick)
	w.succeeds("certificate of "+w.id+" is in place", "sudo gatewayd-provision usb "+w.id+" dinkes")
	w.takeOut()
	w.running()
	w.taps("gatewayd sim tap --reader door --uid 04BA0000000000", 1, time.Minute)
	w.everyGreenTapArrives()

	// A card that turns up later takes the new Pi's certificate, and its place meanwhile.
	w.insertCard(old)
	w.refused("it runs on this machine", "sudo gatewayd deliver --state /mnt/var/lib/gatewayd")
	w.succeeds("", "sudo systemctl stop gatewayd")
	w.succeeds("dinkes/"+w.id+": 0 events delivered", "sudo gatewayd deliver --state /mnt/var/lib/gatewayd")
	w.succeeds("", "sudo systemctl start gatewayd")
	w.removeCard()
	w.running()
}

// insertCard puts an SD card into a reader on USB and mounts it.
func (w *walk) insertCard(image string) {
	w.t.Helper()
	w.putDisk("card", image)
	w.await(time.Minute, "udevadm settle; ls /dev/disk/by-id/*_card-*")
	w.succeeds("", "sudo mount /dev/disk/by-id/*_card-* /mnt")
}

// removeCard takes it out again.
func (w *walk) removeCard() {
	w.t.Helper()
	w.succeeds("", "sudo umount /mnt")
	w.pullDisk("card")
}
