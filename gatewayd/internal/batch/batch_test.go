package batch_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"presence/gatewayd/internal/batch"
	"presence/scripts/city/unpack"
)

func packer(t testing.TB) *batch.Packer {
	t.Helper()
	p, err := batch.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// event makes an event of a tag as a gateway publishes it.
func event(n int) []byte {
	const head = `{"v":1,"id":"0199c1b2-8f00-7a10-b2c4-5d6e7f809112-%d","gateway":"dinkes-01","dinas":"dinkes","stream":"0199c1b2-8f00-7a10-b2c4-5d6e7f809112","seq":%d,"rev":0,"kind":"tag","boot":"5c6f1d0e-1b1a-4a70-9d2f-0f3a8f1e6a11","time":"2026-11-23T07:%02d:%02d.%03d+07:00","time_quality":"synced","time_error_ms":12,`
	const body = `"receiver":"yard","tag":"kenwood:100-%d","lat":%.6f,"lon":%.6f,"accuracy_m":null,"fix_time":"2026-11-23T00:%02d:%02dZ","fix":"live","zone":"inside","rssi":null,"snr":null}`
	return fmt.Appendf(nil, head+body, n, n, n/60%60, n%60, n*37%1000, 1000+n%40, -7.9778+float64(n*7919%1000)/1e6, 112.634+float64(n*104729%1000)/1e6, n/60%60, n%60)
}

// What goes in comes out, byte for byte and in order, and no frame is larger than it may.
func TestRoundTrip(t *testing.T) {
	p := packer(t)
	r, err := unpack.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		limit := rapid.SampledFrom([]int{1, 200, 4 << 10, batch.MaxFrame, 1 << 20}).Draw(t, "limit")
		left := make([][]byte, rapid.IntRange(0, 80).Draw(t, "events"))
		for i := range left {
			noise := make([]byte, random.IntN(300)/(1+random.IntN(3)))
			for j := range noise {
				noise[j] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[random.IntN(64)]
			}
			left[i] = fmt.Appendf(nil, `{"kind":"tag","seq":%d,"noise":"%s"}`, i+1, noise)
		}
		for len(left) > 0 {
			p.Reset(limit)
			added := 0
			for added < len(left) && p.Add(left[added]) {
				added++
			}
			frame, n := p.Frame()
			if n == 0 {
				if limit >= batch.MaxFrame {
					t.Fatal("nothing fits into a frame")
				}
				left = left[1:] // it would go alone
				continue
			}
			if len(frame) > min(limit, batch.MaxFrame) || n > batch.MaxEvents || n > added {
				t.Fatalf("a frame of %d bytes with %d events of %d", len(frame), n, added)
			}
			got, err := r.Events(frame)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(left[:n], got); diff != "" {
				t.Fatal(diff)
			}
			left = left[n:]
		}
	})
}

// A batch of no events is a frame as well, and readers see nothing in it.
func TestEmpty(t *testing.T) {
	frame := packer(t).Empty()
	r, err := unpack.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	events, err := r.Events(frame)
	if len(frame) == 0 || len(frame) > 32 || err != nil || len(events) != 0 {
		t.Errorf("the empty frame has %d bytes and holds %d events: %v", len(frame), len(events), err)
	}
}

// The bounds that both sides hold to are the same.
func TestBounds(t *testing.T) {
	if batch.MaxFrame != unpack.MaxFrame || batch.MaxText != unpack.MaxText || batch.MaxLine != unpack.MaxLine || batch.MaxEvents != unpack.MaxEvents {
		t.Error("the gateway's bounds of a batch are not those of the city's reader")
	}
}

// A reader takes whatever a packer takes: at each bound, and one byte beyond it.
func TestEachBoundFromBothSides(t *testing.T) {
	r, err := unpack.NewReader()
	if err != nil {
		t.Fatal(err)
	}
	line := func(bytes int) []byte { return fmt.Appendf(nil, `{"n":"%s"}`, strings.Repeat("x", bytes-8)) }
	for name, tt := range map[string]struct {
		bytes, events int // of each event, and how many there are
		taken         int
	}{
		"a line as long as it may be": {batch.MaxLine, 1, 1},
		"one byte more":               {batch.MaxLine + 1, 1, 0},
		"as many as may be":           {20, batch.MaxEvents, batch.MaxEvents},
		"one more":                    {20, batch.MaxEvents + 1, batch.MaxEvents},
		"as much text as may be":      {batch.MaxText/16 - 1, 16, 16},
		"more text":                   {batch.MaxText / 16, 16, 15},
	} {
		t.Run(name, func(t *testing.T) {
			p := packer(t)
			p.Reset(batch.MaxFrame)
			taken := 0
			for taken < tt.events && p.Add(line(tt.bytes)) {
				taken++
			}
			if taken != tt.taken {
				t.Fatalf("%d of %d are taken, want %d", taken, tt.events, tt.taken)
			}
			frame, n := p.Frame()
			if taken == 0 {
				return
			}
			if got, err := r.Events(frame); err != nil || len(got) != n || n != taken {
				t.Errorf("of %d the frame holds %d, and the reader finds %d: %v", taken, n, len(got), err)
			}
		})
	}
}

// A packer starts no goroutine, and what it keeps is little for a machine of 512 MB.
func TestPackerIsSmall(t *testing.T) {
	before := runtime.NumGoroutine()
	var start, end runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&start)
	p := packer(t)
	for range 8 {
		p.Reset(batch.MaxFrame)
		for n := range batch.MaxEvents {
			p.Add(event(n))
		}
		p.Frame()
	}
	runtime.GC()
	runtime.ReadMemStats(&end)
	kept := int64(end.HeapAlloc) - int64(start.HeapAlloc)
	t.Logf("a packer keeps %d KiB", kept>>10)
	if kept > 3<<20 {
		t.Errorf("a packer keeps %d bytes", kept)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines before, %d after", before, n)
	}
	runtime.KeepAlive(p)
}

// BenchmarkFrame says how many bytes and how much time an event takes in batches of a
// size. The time does not include that of making the event.
func BenchmarkFrame(b *testing.B) {
	for _, size := range []int{4, 16, 64, 256} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			p := packer(b)
			events := make([][]byte, 4096)
			for i := range events {
				events[i] = event(i)
			}
			b.ReportAllocs()
			bytesOut, count := 0, 0
			for b.Loop() {
				p.Reset(batch.MaxFrame)
				for i := range size {
					p.Add(events[(count+i)%len(events)])
				}
				frame, n := p.Frame()
				bytesOut += len(frame)
				count += n
			}
			b.ReportMetric(float64(bytesOut)/float64(count), "B/event")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(count), "us/event")
			b.ReportMetric(float64(len(bytes.Join(events, nil)))/float64(len(events)), "plainB/event")
		})
	}
}
