package unpack_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"presence/scripts/city/unpack"
)

func reader(t testing.TB) *unpack.Reader {
	t.Helper()
	r, err := unpack.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pack makes a frame of any text, as somebody else than a gateway may.
func pack(t testing.TB, text string, o ...zstd.EOption) []byte {
	t.Helper()
	o = append([]zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true), zstd.WithSingleSegment(true)}, o...)
	w, err := zstd.NewWriter(nil, o...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

// stream makes a frame that does not declare how much is in it.
func stream(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(text, "\n") {
		if _, err := fmt.Fprintln(w, part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const line = `{"v":1,"kind":"tag"}` + "\n"

// noise cannot be compressed.
func noise(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[random.IntN(64)]
	}
	return string(b)
}

// A broken or hostile batch is refused as a whole, by a reason, and costs little memory.
func TestRefused(t *testing.T) {
	r := reader(t)
	good := pack(t, line)
	lied := bytes.Clone(pack(t, strings.Repeat(line, 40)))
	lied[5], lied[6] = 0xFF, 0x01 // the declared size, two bytes with 256 taken off
	skippable := append([]byte{0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}, good...)
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"nothing", nil, "not one zstd frame"},
		{"no frame", []byte(line), "not one zstd frame"},
		{"half a frame", good[:len(good)-6], "not one zstd frame"},
		{"two frames", append(bytes.Clone(good), good...), "not one zstd frame"},
		{"something behind the frame", append(bytes.Clone(good), "xxxx"...), "not one zstd frame"},
		{"a skippable frame", skippable, "not one zstd frame"},
		{"no declared size", stream(t, strings.Repeat(line, 9)), "not one zstd frame"},
		{"a wrong declared size", lied, "unpack batch"},
		{"a bomb", pack(t, strings.Repeat(" ", 64<<20)), "unpacks to more than"},
		{"one byte too much", pack(t, strings.Repeat(" ", unpack.MaxText)+"\n"), "unpacks to more than"},
		{"a large frame", pack(t, `{"n":"`+noise(70<<10)+`"}`+"\n"), "a batch of more than"},
		{"a changed byte", flip(good, len(good)-6), ""},
		{"a long line", pack(t, `{"n":"`+strings.Repeat("x", unpack.MaxLine)+`"}`+"\n"), "an event of more than"},
		{"many events", pack(t, strings.Repeat("{}\n", unpack.MaxEvents+1)), "more than 256 events"},
		{"no line feed at the end", pack(t, strings.TrimSpace(line)), "last line"},
		{"an empty line", pack(t, line+"\n"+line), "not a JSON object"},
		{"an array", pack(t, "[1]\n"), "not a JSON object"},
		{"two objects on a line", pack(t, "{}{}\n"), "not a JSON object"},
		{"an object with something behind it", pack(t, "{} x\n"), "not a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := r.Events(tt.frame)
			if err == nil || events != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%d events, error %v, want one with %q", len(events), err, tt.want)
			}
		})
	}
	if events, err := r.Events(good); err != nil || len(events) != 1 {
		t.Errorf("after all that a good batch gives %d events: %v", len(events), err)
	}
}

func flip(frame []byte, i int) []byte {
	b := bytes.Clone(frame)
	b[i] ^= 1
	return b
}

// To refuse a bomb takes no memory for what is in it.
func TestBombIsCheap(t *testing.T) {
	r := reader(t)
	bomb := pack(t, strings.Repeat(" ", 64<<20))
	if len(bomb) > unpack.MaxFrame {
		t.Fatalf("the bomb has %d bytes and is refused for its size already", len(bomb))
	}
	got := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Events(bomb); err == nil {
				b.Fatal("accepted")
			}
		}
	})
	if got.AllocedBytesPerOp() > 64<<10 {
		t.Errorf("refusing it takes %d bytes", got.AllocedBytesPerOp())
	}
}

func TestKind(t *testing.T) {
	for event, want := range map[string]string{line: "tag", `{"kind":"badge"}`: "badge", `{"kind":"lunch"}`: "", `{"kind":1}`: "", `{}`: ""} {
		kind, err := unpack.Kind([]byte(event))
		if kind != want || (err == nil) != (want != "") {
			t.Errorf("%s is of the kind %q: %v", event, kind, err)
		}
	}
}

// Whatever comes, a reader keeps to its bounds, and what it accepts are whole lines.
func FuzzEvents(f *testing.F) {
	r := reader(f)
	for _, text := range []string{"", line, strings.Repeat(line, 40), "{}\n{}\n", "[1]\n", noise(300)} {
		f.Add(pack(f, text))
		f.Add(pack(f, text, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderCRC(false)))
	}
	f.Add(stream(f, line))
	f.Add([]byte{0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, frame []byte) {
		events, err := r.Events(frame)
		if err != nil {
			if events != nil {
				t.Error("events beside an error")
			}
			return
		}
		if len(frame) > unpack.MaxFrame || len(events) > unpack.MaxEvents {
			t.Errorf("%d events of %d bytes", len(events), len(frame))
		}
		total := 0
		for _, e := range events {
			total += len(e) + 1
			if len(e) > unpack.MaxLine || e[0] != '{' || bytes.ContainsRune(e, '\n') {
				t.Errorf("accepted %q", e)
			}
		}
		if text, err := r.Text(frame); err != nil || len(text) != total || total > unpack.MaxText {
			t.Errorf("%d bytes of text for %d bytes of events: %v", len(text), total, err)
		}
	})
}
