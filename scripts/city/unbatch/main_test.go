package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/skiptest"
)

// What is good comes out as `mosquitto_sub -v` would show it, what is not is named.
func TestRun(t *testing.T) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	const at = "presence/v1/dinkes/dinkes-01/event/"
	line := func(topic string, payload []byte) string { return topic + " " + hex.EncodeToString(payload) + "\n" }
	tag, badge := `{"seq":1,"kind":"tag"}`, `{"seq":2,"kind":"badge"}`
	in := line(at+"batch", w.EncodeAll(nil, nil)) +
		line(at+"badge", []byte(badge)) +
		line(at+"batch", w.EncodeAll(fmt.Appendf(nil, "%s\n%s\n", tag, badge), nil)) +
		line(at+"batch", w.EncodeAll([]byte(strings.Repeat(" ", 64<<20)), nil)) +
		line(at+"batch", w.EncodeAll([]byte(`{"kind":"lunch"}`+"\n"), nil)) +
		line(at+"batch", []byte("no frame")) + "x\n" + "topic xyz\n" + line(at+"tag", []byte("{}\n{}")) +
		line(at+"tag", []byte(tag))
	var out, errs bytes.Buffer
	refused, err := run(strings.NewReader(in), &out, &errs)
	want := fmt.Sprintf("%[1]sbadge %[2]s\n%[1]stag %[3]s\n%[1]sbadge %[2]s\n%[1]stag %[3]s\n", at, badge, tag)
	if err != nil || refused != 6 || out.String() != want || strings.Count(errs.String(), "\n") != 6 {
		t.Errorf("refused %d, error %v, wrote\n%swant\n%ssaid\n%s", refused, err, out.String(), want, errs.String())
	}
}

// What the real mosquitto_sub writes is read: several batches, a batch of no events, and
// events that come alone.
func TestReadsTheRealMosquittoSub(t *testing.T) {
	if _, err := exec.LookPath("mosquitto_sub"); err != nil {
		skiptest.Skip(t, "mosquitto_sub is not installed: run scripts/install-test-deps.sh")
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))
	if err != nil {
		t.Fatal(err)
	}
	b := brokertest.Start(t)
	city := b.Subscribe("none")
	const at = "presence/v1/dinkes/dinkes-01/event/"
	tag := func(seq int) string { return fmt.Sprintf(`{"seq":%d,"kind":"tag"}`, seq) }
	all := []struct{ topic, payload string }{
		{"badge", `{"seq":1,"kind":"badge"}`}, // the broker keeps it, and it shows that mosquitto_sub has subscribed
		{"batch", string(w.EncodeAll(nil, nil))},
		{"batch", string(w.EncodeAll([]byte(tag(2)+"\n"+tag(3)+"\n"), nil))},
		{"tag", tag(4)},
		{"batch", string(w.EncodeAll([]byte(strings.Repeat(tag(5)+"\n", 256)), nil))},
	}
	city.Publish(at+all[0].topic, true, []byte(all[0].payload))
	sub := exec.Command("mosquitto_sub", "-p", strconv.Itoa(b.Port), "-F", "%t %x", "-t", "presence/v1/+/+/event/#", "-C", strconv.Itoa(len(all)), "-W", "30")
	out, err := sub.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := childtest.Start(sub); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := out.Read(first); err != nil {
		t.Fatal(err)
	}
	for _, m := range all[1:] {
		city.Publish(at+m.topic, false, []byte(m.payload))
	}
	var text, errs bytes.Buffer
	refused, err := run(io.MultiReader(bytes.NewReader(first), out), &text, &errs)
	if err := errors.Join(err, sub.Wait()); err != nil || refused != 0 {
		t.Fatalf("refused %d, error %v, said %s", refused, err, errs.String())
	}
	want := fmt.Sprintf("%[1]sbadge %[2]s\n%[1]stag %[3]s\n%[1]stag %[4]s\n%[1]stag %[5]s\n", at, all[0].payload, tag(2), tag(3), tag(4)) +
		strings.Repeat(at+"tag "+tag(5)+"\n", 256)
	if text.String() != want {
		t.Errorf("shown is\n%.2000s\nwant\n%.2000s", text.String(), want)
	}
}
