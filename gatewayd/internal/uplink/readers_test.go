package uplink_test

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"testing"

	"presence/gatewayd/internal/batch"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/skiptest"
)

// TestRealProgramsShowBatchesAsText: what the README tells a reader to type, with the real
// mosquitto_sub and zstd. The frames of several batches follow each other in the pipe, and
// the first holds no event.
func TestRealProgramsShowBatchesAsText(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mosquitto_sub", "zstd"} {
		skiptest.Program(t, name)
	}
	b := brokertest.Start(t)
	city := b.Subscribe(prefix + "event/#")
	// The broker keeps this one, and it shows that mosquitto_sub has subscribed.
	packer, err := batch.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	packer.Reset(batch.MaxFrame)
	packer.Add([]byte(`{"seq":0}`))
	first, _ := packer.Frame()
	city.Publish("presence/v1/dinkes/dinkes-02/event/batch", true, first)
	// It, the batch of no events, and one of the gateway's.
	sub := exec.Command("mosquitto_sub", "-p", strconv.Itoa(b.Port), "-t", "presence/v1/+/+/event/batch", "-N", "-C", "3", "-W", "30")
	out, err := sub.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := childtest.Start(sub); err != nil {
		t.Fatal(err)
	}
	frames := make([]byte, len(first))
	if _, err := io.ReadFull(out, frames); err != nil {
		t.Fatal(err)
	}
	run(t, uplink.New(together(b.Address(), newMemory(200))))
	rest, err := io.ReadAll(out)
	if err := errors.Join(err, sub.Wait()); err != nil {
		t.Fatalf("mosquitto_sub: %v", err)
	}
	unzip := exec.Command("zstd", "-dc")
	var text bytes.Buffer
	unzip.Stdin, unzip.Stdout = bytes.NewReader(append(frames, rest...)), &text
	if err := childtest.Start(unzip); err != nil {
		t.Fatal(err)
	}
	if err := unzip.Wait(); err != nil {
		t.Fatalf("zstd: %v", err)
	}
	want := []byte(`{"seq":0}` + "\n")
	for _, m := range city.Await("the events", func(m []brokertest.Message) bool { return len(m) == 200 }) {
		want = append(append(want, m.Payload...), '\n')
	}
	if !bytes.Equal(text.Bytes(), want) {
		t.Errorf("zstd shows\n%s\nwant\n%s", text.Bytes(), want)
	}
}
