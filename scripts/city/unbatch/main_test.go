package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
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
