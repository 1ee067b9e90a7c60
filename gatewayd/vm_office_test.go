//go:build vm

package main_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
)

// atMostTyped is how many commands a technician may have to type at an office until its
// first tap is at the broker.
const atMostTyped = 3

// fingerprint is what the Pi shows of its request.
var fingerprint = regexp.MustCompile(`\b([0-9A-F]{4}-){4}[0-9A-F]{4}\b`)

// types runs a command line as a technician types it, who is the user pi.
func (w *walk) types(command string, responses ...response) (output string, code int) {
	w.t.Helper()
	w.typed++
	began := time.Now()
	output, code = w.try("runuser -u pi -- bash -c '"+command+"'", responses...)
	if found := fingerprint.FindAllString(output, -1); found != nil {
		w.shown = found[len(found)-1]
	}
	w.t.Logf("pi$ %s   # exit %d after %s\n%s", command, code, time.Since(began).Round(time.Second), output)
	return output, code
}

// succeeds is types for a command that has to succeed, and to say something.
func (w *walk) succeeds(says, command string, responses ...response) {
	w.t.Helper()
	if out, code := w.types(command, responses...); code != 0 || !strings.Contains(out, says) {
		w.t.Fatalf("%s: exit %d, and not %q:\n%s", command, code, says, out)
	}
}

// refused is types for a command that has to be refused, with the reason.
func (w *walk) refused(says, command string, responses ...response) {
	w.t.Helper()
	if out, code := w.types(command, responses...); code == 0 || !strings.Contains(out, says) {
		w.t.Fatalf("%s: exit %d, and not %q:\n%s", command, code, says, out)
	}
}

// paper is what the technician has on paper, and types when a stick is new to a Pi.
func (w *walk) paper() []response {
	w.t.Helper()
	return []response{{"fingerprint of the city's authority", w.k.Fingerprint()}, {"^Passphrase of the badge key", kittest.BadgePassphrase}}
}

// toTheCity carries the request of a gateway to the city on the stick, and its
// certificate back.
func (w *walk) toTheCity(id string, sign func(request string) string) {
	w.t.Helper()
	w.takeOut()
	w.inTheCity(id, sign)
	w.stick.write(w.k.Stick)
	w.putIn(w.stick)
}

// inTheCity signs the request that is on the stick. What the city says of it has to name
// the key as the Pi has shown it.
func (w *walk) inTheCity(id string, sign func(request string) string) {
	w.t.Helper()
	request := filepath.Join(w.k.Stick, "requests", id+".csr")
	w.stick.read("requests/"+id+".csr", request)
	if out := sign(request); fingerprint.FindString(out) == "" || fingerprint.FindString(out) != w.shown {
		w.t.Errorf("the city says %s, and the Pi has shown %s", out, w.shown)
	}
}

// signs is the city's answer to a request: the certificate lies beside it then.
func (w *walk) signs(request string) string {
	w.t.Helper()
	return w.k.Authority("sign", request)
}

// webServer serves the certificates that the authority has issued over HTTPS, as the
// city's own web server does, and returns its address.
func (k *kit) webServer() string {
	k.t.Helper()
	pair, err := tls.LoadX509KeyPair(k.Own("broker.pem"), k.Own("broker.key"))
	if err != nil {
		k.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.StripPrefix("/issued", http.FileServer(http.Dir(filepath.Join(k.CA, "issued")))))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	k.t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "mqtt.example.go.id", 1)
}

// A package that is not for this machine, several of them, and one that was cut off are
// no success, and leave nothing behind.
func (w *walk) refusesWrongPackages() {
	w.t.Helper()
	w.putIn(w.stick)
	w.succeeds("", "sudo mount -o ro /dev/sda1 /mnt")
	ours := "/mnt/" + filepath.Base(w.deb)
	other := strings.Replace(ours, "_amd64", "_arm64", 1)
	w.refused("another processor (arm64). For this machine: sudo bash /mnt/install.sh "+ours, "sudo bash /mnt/install.sh "+other)
	w.refused("3 packages are named", "sudo bash /mnt/install.sh /mnt/*.deb")
	w.refused("is damaged or no package", "head -c 1000000 "+ours+" >/tmp/cut.deb; sudo bash /mnt/install.sh /tmp/cut.deb")
	if left := w.run("ls -d /etc/gatewayd /usr/bin/gatewayd /var/lib/gatewayd 2>/dev/null; dpkg-query -W gatewayd 2>/dev/null; true"); left != "" {
		w.t.Fatalf("something is left:\n%s", left)
	}
	w.succeeds("", "sudo umount /mnt")
	w.takeOut()
}

// setUp is the whole of it, from a fresh Debian without a line but the city's to the
// first tap at the broker: what is typed is counted.
func (w *walk) setUp() {
	w.t.Helper()
	w.typed = 0
	began := time.Now()
	w.putIn(w.stick)
	if at := w.run("lsblk -nro MOUNTPOINT /dev/sda1"); at != "" {
		w.t.Fatalf("something mounts sticks here: %s", at)
	}
	w.succeeds("", "sudo mount -o ro /dev/sda1 /mnt")
	w.succeeds("take the stick to the city", "sudo bash /mnt/install.sh dinkes-01 dinkes", w.paper()...)
	w.toTheCity("dinkes-01", w.signs)
	w.succeeds("certificate of dinkes-01 is in place", "sudo gatewayd-provision usb dinkes-01 dinkes")
	w.taps("gatewayd sim tap --reader door --uid 04A1B2C3D4E5F6", 1, time.Minute)
	w.seen.AwaitFor(time.Minute, "the first tap", func(m []brokertest.Message) bool { return missing(m, w.green) == 0 })
	w.setup = setup{w.typed, time.Since(began)}
	w.takeOut()
	w.t.Logf("vm-test: set-up in %s with %d commands", w.setup.took.Round(time.Second), w.setup.commands)
	if w.setup.commands > atMostTyped {
		w.t.Errorf("%d commands had to be typed at the office", w.setup.commands)
	}
	w.running()
	w.run("gatewayd check")
	w.beacon()
	w.taps("gatewayd sim tap --reader door --uid 04A1B2C3D40000 --count 3 --hold 50ms --every 100ms", 3, time.Minute)
	w.seen.AwaitFor(time.Minute, "taps and a tag", func(m []brokertest.Message) bool {
		return missing(m, w.green) == 0 && count(m, "tag") >= 1
	})
}
