//go:build image

package kittest_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/deb/debtest"
	"presence/scripts/skiptest"
)

// cardBoot is how long an emulated Pi may take from power on to the city's broker; on a
// busy machine it takes some three minutes.
const cardBoot = 12 * time.Minute

// asRoot runs a program that has to succeed.
func asRoot(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inCard mounts the second partition of a card and calls look with its folder.
func inCard(t *testing.T, card string, look func(root string)) {
	t.Helper()
	start := regexp.MustCompile(`(?m)^(\d+) 0x83$`).FindStringSubmatch(asRoot(t, nil, "partx", "--noheadings", "--raw", "--output", "START,TYPE", card))
	if start == nil {
		t.Fatal("the card has no partition for Linux")
	}
	root := t.TempDir()
	asRoot(t, nil, "sh", "-c", fmt.Sprintf("mount -o loop,offset=$((%s * 512)) %s %s", start[1], card, root))
	defer asRoot(t, nil, "umount", root)
	look(root)
}

// start starts the card on an emulated Pi's processor; it ends with the test.
func start(t *testing.T, image, card string) (console string) {
	t.Helper()
	console = filepath.Join(t.TempDir(), "console")
	// No hardware of a Pi: the gateway comes up all the same, and says what is missing.
	qemu := exec.Command("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "512",
		"-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "file:"+console,
		"-kernel", filepath.Join(image, "vmlinuz"), "-initrd", filepath.Join(image, "initrd.img"), "-append", "root=/dev/vda2 rw console=ttyAMA0",
		"-drive", "if=none,id=card,format=raw,file="+card, "-device", "virtio-blk-pci,drive=card",
		// It reaches this machine's loopback as 10.0.2.2, and asks for nothing else.
		"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=")
	var said bytes.Buffer
	qemu.Stderr = &said
	if err := childtest.Start(qemu); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = qemu.Process.Kill()
		_ = qemu.Wait() // killed, as it should be
		if said.Len() > 0 {
			t.Logf("qemu says %s", &said)
		}
	})
	return console
}

// TestImage is what make image-test shows, with one closing line.
func TestImage(t *testing.T) {
	image, deb := os.Getenv("CARD_IMAGE"), os.Getenv("CARD_DEB")
	if image == "" || deb == "" {
		skiptest.LeaveOut(t, "a Debian for a Pi", "make image-test", "no image to prepare is named")
	}
	var prepared, booted, made, signed time.Duration
	t.Run("a hundred offices", func(t *testing.T) { made, signed = aHundredOffices(t) })
	t.Run("a prepared card", func(t *testing.T) { prepared, booted = aPreparedCard(t, image, deb) })
	seconds := func(d time.Duration) int { return int(d.Round(time.Second).Seconds()) }
	fmt.Printf("image-test: failed=%t offices=100 made_s=%d signed_s=%d card_prepared_s=%d boot_to_broker_s=%d\n",
		t.Failed(), seconds(made), seconds(signed), seconds(prepared), seconds(booted))
}

// A card that was prepared at the city's desk, by the commands that the documents name,
// comes up as the gateway of its office, fetches its certificate by itself, and is heard
// at the city's broker. Nobody touches it in between.
func aPreparedCard(t *testing.T, image, deb string) (preparing, booting time.Duration) {
	t.Helper()
	c := kittest.New(t, tree, "admin", "recorder")
	c.Authority("broker", "127.0.0.1", "mqtt.test")
	broker := c.Broker()
	web := httptest.NewUnstartedServer(http.StripPrefix("/issued/", http.FileServer(http.Dir(filepath.Join(c.CA, "issued")))))
	pair, err := tls.LoadX509KeyPair(c.Own("broker.pem"), c.Own("broker.key"))
	if err != nil {
		t.Fatal(err)
	}
	web.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	web.StartTLS()
	t.Cleanup(web.Close)
	port := web.URL[strings.LastIndex(web.URL, ":")+1:]

	debtest.Write(t, filepath.Join(c.CA, filepath.Base(deb)), debtest.Read(t, deb), 0o644)
	c.List("id,dinas,place,lat,lon,radius,receivers\ndinkes-01,dinkes,Jl. Ijen 1,-7.9778,112.634,100,yard=kenwood\n", "https://mqtt.test:"+port+"/issued",
		map[string]string{"mqtt.example.go.id:8883": fmt.Sprintf("mqtt.test:%d", broker.Port)}, "dinkes")
	c.Offices(program(t, "gatewayd"))

	original := filepath.Join(image, "card.img")
	before, err := os.Stat(original)
	if err != nil {
		t.Fatal(err)
	}
	prepared := time.Now()
	out := asRoot(t, []string{"CA_DIR=" + c.CA}, "make", "-s", "-C", tree, "image", "IMG="+original, "OFFICE=dinkes-01")
	preparing = time.Since(prepared)
	card := c.Made("dinkes-01", "card.img")
	if after, err := os.Stat(original); err != nil || after.ModTime() != before.ModTime() {
		t.Errorf("the image itself was changed: %v", err)
	}
	if loops := asRoot(t, nil, "losetup", "-a"); strings.Contains(loops, card) {
		t.Errorf("it left %s", loops)
	}
	if !strings.Contains(out, "There is no certificate yet") || strings.Contains(out, "was not checked") {
		t.Errorf("the card's own program did not check its configuration: %s", out)
	}
	for _, again := range [][]string{{"OFFICE=dinkes-01"}, {"OFFICE=dinkes-02"}} {
		cmd := exec.Command("make", append([]string{"-s", "-C", tree, "image", "IMG=" + original, "CA_DIR=" + c.CA}, again...)...)
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("make image %v: %s", again, out)
		}
	}
	inCard(t, card, func(root string) {
		if id := debtest.Read(t, filepath.Join(root, "etc/machine-id")); id != "uninitialized\n" {
			t.Errorf("the machine id is %q", id)
		}
		if _, err := os.Stat(filepath.Join(root, "var/lib/gatewayd/tls/gateway.pem")); err == nil {
			t.Error("there is a certificate already")
		}
	})
	// The city signs before the card travels, and nothing has to be compared by hand.
	if out := c.Offices(program(t, "gatewayd")); !strings.Contains(out, "the card was prepared here") || !strings.Contains(out, "signed=1 ") {
		t.Errorf("offices.sh says %s", out)
	}

	recorder := broker.Subscribe("presence/v1/#", c.AsProgram(broker, "recorder"))
	powered := time.Now()
	console := start(t, image, card)
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(console)
			t.Logf("its console says\n%s", said[max(0, len(said)-4000):])
		}
	})
	recorder.AwaitFor(cardBoot, "the gateway of the card", func(messages []brokertest.Message) bool {
		online := false
		for _, m := range messages {
			online = online || m.Topic == "presence/v1/dinkes/dinkes-01/status" && strings.Contains(string(m.Payload), `"online"`)
		}
		return online && brokertest.Came("presence/v1/dinkes/dinkes-01/info")(messages)
	})
	return preparing, time.Since(powered)
}

// A hundred offices are made in minutes.
func aHundredOffices(t *testing.T) (making, signing time.Duration) {
	t.Helper()
	c := kittest.New(t, tree, "admin")
	list := "id,dinas,place,contact,lat,lon,radius,reader,receivers\n"
	for i := range 100 {
		list += fmt.Sprintf("dinkes-%03d,dinkes,Jl. Ijen %d,Ibu Sri,-7.9%03d,112.634,100,,yard=kenwood\n", i, i, i)
		debtest.Write(t, filepath.Join(c.CA, fmt.Sprintf("rosters/dinkes-%03d.csv", i)), fmt.Sprintf("kartu,tag\n04A1B2C3,reyax:%d\n", i), 0o600)
	}
	debtest.Write(t, filepath.Join(c.CA, "hours.json"), `{"mon":"07:30-16:00"}`, 0o600)
	c.List(list, "https://mqtt.example.go.id/issued", nil, "dinkes")
	began := time.Now()
	if out := c.Offices(program(t, "gatewayd")); !strings.Contains(out, "made=100 ") {
		t.Fatalf("it says %s", out)
	}
	making = time.Since(began)
	began = time.Now()
	for i := range 100 {
		id := fmt.Sprintf("dinkes-%03d", i)
		request, _ := c.Request(id)
		debtest.Write(t, c.Made(id, "stick/requests", id+".csr"), debtest.Read(t, request), 0o644)
	}
	requests := time.Since(began)
	began = time.Now()
	if out := c.Offices(program(t, "gatewayd")); !strings.Contains(out, "unchanged=100 changed=0 signed=100 refused=0 missing=0 ") {
		t.Fatalf("it says %s", out)
	}
	signing = time.Since(began)
	if making+signing > 10*time.Minute {
		t.Errorf("it took %s and %s", making, signing)
	}
	t.Logf("made in %s, signed in %s (the requests themselves took %s)", making, signing, requests)
	return making, signing
}
