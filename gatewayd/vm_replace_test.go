//go:build vm

package main_test

import (
	"strings"
	"time"

	"presence/gatewayd/internal/brokertest"
)

// replace breaks the Pi while taps wait on its card, and puts another Pi in its place,
// under its name. What waits on the old card is sent from the new one.
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
	w.run("umount /mnt")
	w.toTheCity(w.id, func(request string) string {
		out, err := w.k.TryAuthority("sign", request)
		if err == nil || !strings.Contains(out, "REPLACE="+w.id) {
			w.t.Errorf("another key under the same name: %v %s", err, out)
		}
		return w.k.Replace(w.id, request)
	})
	w.k.broker.Stop()
	w.k.broker.Restart() // and reads what was revoked
	w.succeeds("certificate of "+w.id+" is in place", "sudo gatewayd-provision usb "+w.id+" dinkes")
	w.takeOut()
	w.running()
	w.taps("gatewayd sim tap --reader door --uid 04BA0000000000", 1, time.Minute)

	w.putDisk("card", old)
	w.await(time.Minute, "udevadm settle; ls /dev/disk/by-id/*_card-*")
	w.succeeds("", "sudo mount -o ro /dev/disk/by-id/*_card-* /mnt")
	w.refused("it runs on this machine", "sudo gatewayd deliver --state /mnt/var/lib/gatewayd")
	w.succeeds("", "sudo systemctl stop gatewayd")
	w.succeeds("dinkes/"+w.id+": ", "sudo gatewayd deliver --state /mnt/var/lib/gatewayd")
	w.succeeds("", "sudo systemctl start gatewayd")
	w.seen.AwaitFor(time.Minute, "what was on the old card", func(m []brokertest.Message) bool { return missing(m, w.green) == 0 })
	w.run("umount /mnt")
	w.pullDisk("card")
	w.running()
}
