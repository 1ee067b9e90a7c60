package unpack_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"presence/scripts/city/unpack"
)

// The parts of a frame (RFC 8878, 3.1.1), for frames that no encoder makes.
var (
	magic     = []byte{0x28, 0xB5, 0x2F, 0xFD}
	skippable = []byte{0x50, 0x2A, 0x4D, 0x18} // and 15 more with other first digits
)

// block is the header of a block: its type is 0 (as it is), 1 (one byte, so often), 2
// (compressed) or 3 (forbidden).
func block(last bool, kind, size int) []byte {
	header := uint32(size<<3 | kind<<1)
	if last {
		header |= 1
	}
	return binary.LittleEndian.AppendUint32(nil, header)[:3]
}

// repeated is n blocks of 128 KiB of the same byte: four bytes each.
func repeated(n int, of byte) (all []byte) {
	for i := range n {
		all = append(append(all, block(i == n-1, 1, 128<<10)...), of)
	}
	return all
}

// frame is a frame with a descriptor, what follows that in the header, and blocks.
func frame(descriptor byte, header []byte, blocks ...[]byte) []byte {
	return slices.Concat(magic, []byte{descriptor}, header, slices.Concat(blocks...))
}

// le is a number in so many bytes.
func le(bytes int, n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n)[:bytes] }

// hostileFrames are frames that have to be refused, by what is wrong with them.
func hostileFrames(t testing.TB) map[string][]byte {
	good := pack(t, line)
	const (
		oneSegment = 0x20           // the window is as large as the text
		size4      = 2 << 6         // the size of the text is in 4 bytes
		size8      = 3 << 6         // in 8
		dictionary = oneSegment | 1 // its id is in 1 byte, the text's size too
	)
	text := []byte("{}\n")
	plain := append(block(true, 0, len(text)), text...)
	changed := bytes.Clone(good)
	changed[len(changed)-1] ^= 1
	return map[string][]byte{
		"huge-window":                frame(size4, slices.Concat([]byte{0xFF}, le(4, 3)), plain),
		"window-of-8-MB":             frame(size4, slices.Concat([]byte{13 << 3}, le(4, 3)), plain),
		"declares-2-to-the-63":       frame(oneSegment|size8, le(8, 1<<63), plain),
		"declares-all-bits":          frame(oneSegment|size8, le(8, 1<<64-1), plain),
		"declares-48-MB":             frame(oneSegment|size4, le(4, 48<<20), repeated(384, 'x')),
		"declares-little-has-48-MB":  frame(oneSegment, []byte{3}, repeated(384, 'x')),
		"declares-nothing-has-48-MB": frame(0, []byte{10 << 3}, repeated(384, 'x')),
		"declares-much-has-little":   frame(oneSegment|size4, le(4, 200<<10), plain),
		"declares-0-has-some":        frame(oneSegment, []byte{0}, plain),
		"many-frames":                bytes.Repeat(good, 40<<10/len(good)),
		"many-empty-frames":          bytes.Repeat(pack(t, ""), 3000),
		"frame-behind-an-empty-one":  append(pack(t, ""), good...),
		"dictionary":                 frame(dictionary, []byte{7, 3}, plain),
		"dictionary-of-4-bytes":      frame(oneSegment|3, append(le(4, 1<<31), 3), plain),
		"skippable-first":            slices.Concat(skippable, le(4, 4), []byte{1, 2, 3, 4}, good),
		"skippable-last":             slices.Concat(good, skippable, le(4, 4), []byte{1, 2, 3, 4}),
		"skippable-of-4-GB":          slices.Concat(skippable, le(4, 1<<32-1), good),
		"skippable-alone":            slices.Concat(skippable, le(4, 0)),
		"wrong-checksum":             changed,
		"no-checksum-where-promised": frame(oneSegment|4, []byte{3}, plain),
		"garbage-behind":             append(bytes.Clone(good), noise(2000)...),
		"forbidden-block":            frame(oneSegment, []byte{3}, block(true, 3, 3), text),
		"block-larger-than-allowed":  frame(oneSegment|size4, le(4, 200<<10), block(true, 1, 200<<10), []byte{'x'}),
		"no-last-block":              frame(oneSegment, []byte{3}, block(false, 0, 3), text),
		"reserved-bit":               frame(oneSegment|8, []byte{3}, plain),
		"magic-alone":                magic,
		"old-magic":                  slices.Concat([]byte{0x27, 0xB5, 0x2F, 0xFD}, good[4:]),
		"line-of-48-MB":              pack(t, `{"n":"`+strings.Repeat("x", 48<<20)+`"}`+"\n"),
		"no-line-feed":               pack(t, strings.Repeat("x", unpack.MaxText)),
		"only-line-feeds":            pack(t, strings.Repeat("\n", unpack.MaxText)),
		"carriage-returns":           pack(t, "{}\r\n{}\r\n\r\n"),
		"nul":                        pack(t, "{\"n\":\"\x00\"}\n"),
		"nul-behind-the-object":      pack(t, "{}\x00\n"),
		"nul-bytes":                  pack(t, strings.Repeat("\x00", 1000)+"\n"),
		"byte-order-mark":            pack(t, "\ufeff{}\n"),
		"deeply-nested":              pack(t, `{"n":`+strings.Repeat("[", 30<<10)+"\n"),
	}
}

// TestHostileFramesAreRefusedAtLittleCost: each is refused as a whole, whatever it
// declares, and takes little memory, also before it is known that it is one.
func TestHostileFramesAreRefusedAtLittleCost(t *testing.T) {
	r := reader(t)
	good := pack(t, line)
	for name, hostile := range hostileFrames(t) {
		t.Run(name, func(t *testing.T) {
			if events, err := r.Events(hostile); err == nil || events != nil {
				t.Errorf("%d events, error %v", len(events), err)
			}
			if most := allocated(func() { _, _ = r.Events(hostile) }); most > 2*unpack.MaxText {
				t.Errorf("refusing %d bytes takes %d bytes", len(hostile), most)
			}
			if events, err := r.Events(good); err != nil || len(events) != 1 {
				t.Errorf("after it a good batch gives %d events: %v", len(events), err)
			}
		})
	}
}

// TestLargestBatchTakesLittle: also what is accepted is bounded in what it takes.
func TestLargestBatchTakesLittle(t *testing.T) {
	r := reader(t)
	event := `{"n":"` + strings.Repeat("x", unpack.MaxText/unpack.MaxEvents-9) + `"}` + "\n"
	largest := pack(t, strings.Repeat(event, unpack.MaxEvents))
	if events, err := r.Events(largest); err != nil || len(events) != unpack.MaxEvents {
		t.Fatalf("%d events: %v", len(events), err)
	}
	if most := allocated(func() { _, _ = r.Events(largest) }); most > 2*unpack.MaxText {
		t.Errorf("the largest batch takes %d bytes", most)
	}
}

// TestEveryPieceOfABatchIsRefused: a batch that was cut off anywhere is none, and one in
// which any bit is another is refused, if it has a checksum, as those of gatewayd have.
func TestEveryPieceOfABatchIsRefused(t *testing.T) {
	r := reader(t)
	for _, o := range [][]zstd.EOption{nil, {zstd.WithEncoderCRC(false)}} {
		want := []byte(strings.Repeat(line, 40) + `{"seq":1}` + "\n")
		good := pack(t, string(want), o...)
		for n := range good {
			if events, err := r.Events(good[:n]); err == nil {
				t.Errorf("the first %d of %d bytes hold %d events", n, len(good), len(events))
			}
			for bit := range 8 {
				other := bytes.Clone(good)
				other[n] ^= 1 << bit
				text, err := r.Text(other)
				if err == nil && o == nil && !bytes.Equal(text, want) { // one bit of the header means nothing
					t.Errorf("bit %d of byte %d is another, and it unpacks to %q", bit, n, text)
				}
			}
		}
	}
}

// allocated returns how many bytes a call takes from the heap, the least of a few calls:
// others may take some meanwhile.
func allocated(call func()) (least uint64) {
	for i := range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		call()
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; i == 0 || taken < least {
			least = taken
		}
	}
	return least
}
