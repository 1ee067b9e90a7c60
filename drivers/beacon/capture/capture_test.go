package capture_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"presence/drivers/beacon/capture"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := capture.Header{V: 1, Receiver: "yard", Protocol: "kenwood", Baud: 9600, Started: "2026-11-23T08:18:36+07:00"}
		var file bytes.Buffer
		w, err := capture.NewWriter(&file, h)
		if err != nil {
			rt.Fatal(err)
		}
		var want []capture.Piece
		var at time.Duration
		for range rapid.IntRange(0, 8).Draw(rt, "pieces") {
			at += time.Duration(rapid.IntRange(0, 5000).Draw(rt, "ms")) * time.Millisecond
			data := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(rt, "data")
			if rapid.Bool().Draw(rt, "text") {
				data = []byte(rapid.StringMatching(`[ -~\r\n\t]{1,40}`).Draw(rt, "line"))
			}
			p := capture.Piece{At: at, Data: data, Lost: rapid.Int64Range(0, 9).Draw(rt, "lost")}
			want = append(want, p)
			if err := w.Write(p); err != nil {
				rt.Fatal(err)
			}
		}
		r, err := capture.NewReader(&file)
		if err != nil {
			rt.Fatal(err)
		}
		var got []capture.Piece
		for {
			p, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, p)
		}
		if diff := cmp.Diff(h, r.Header) + cmp.Diff(want, got); diff != "" {
			rt.Errorf("(-written +read)\n%s", diff)
		}
	})
}

// FuzzReader: a file is refused, or it is written again as it was read. A report from
// the field may have been through a word processor.
func FuzzReader(f *testing.F) {
	const head = `{"v":1,"receiver":"yard","protocol":"kenwood"}` + "\n"
	f.Add([]byte(head + `{"at_ms":0,"text":"$PKNDS,"}` + "\n" + `{"at_ms":9,"hex":"94c3","lost":3}`))
	f.Add([]byte(head + "\r\n" + `{"at_ms":5,"text":"\u00e9"}`))
	f.Add([]byte(head + `{"at_ms":-1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		read := func(in []byte) (capture.Header, []capture.Piece, bool) {
			r, err := capture.NewReader(bytes.NewReader(in))
			if err != nil {
				return capture.Header{}, nil, false
			}
			var all []capture.Piece
			for {
				p, err := r.Next()
				if errors.Is(err, io.EOF) {
					return r.Header, all, true
				}
				if err != nil {
					return capture.Header{}, nil, false
				}
				if p.At < 0 || p.Lost < 0 || len(p.Data) > len(in) {
					t.Errorf("%+v", p)
				}
				all = append(all, p)
			}
		}
		head, pieces, ok := read(in)
		if !ok {
			return
		}
		var again bytes.Buffer
		w, err := capture.NewWriter(&again, head)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			if err := w.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		head2, pieces2, ok := read(again.Bytes())
		if diff := cmp.Diff(head, head2) + cmp.Diff(pieces, pieces2, cmpopts.EquateEmpty()); diff != "" || !ok {
			t.Errorf("(-read +written and read)\n%s", diff)
		}
	})
}

func TestWrongFilesAreNamed(t *testing.T) {
	const header = `{"v":1,"receiver":"yard","protocol":"kenwood"}` + "\n"
	for in, want := range map[string]string{
		"":                                      "EOF",
		"$PKNDS,1\n":                            "no header of a recording",
		"{}\n":                                  "no header of a recording",
		`{"v":2}`:                               "version 2",
		header + "x\n":                          "line 2: ",
		header + "\n" + `{"at_ms":-1}`:          "line 3: at_ms: -1",
		header + `{"at_ms":1,"hex":"0"}`:        "line 2: hex",
		header + `{"text":"a","hex":"00"}`:      "both",
		header + "{\"at_ms\":5}\n{\"at_ms\":4}": "line 3: at_ms goes back",
		header + strings.Repeat("x", 2<<20):     "line 2: ",
	} {
		r, err := capture.NewReader(strings.NewReader(in))
		for err == nil {
			_, err = r.Next()
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v", in, err)
		}
	}
}

// A stream gives the pieces as they came, and tells of each before its bytes.
func TestStreamTellsWhenBytesCame(t *testing.T) {
	r, err := capture.NewReader(strings.NewReader(`{"v":1}` + "\n" + `{"at_ms":5,"text":"abc"}` + "\n" + `{"at_ms":9,"hex":"ff00","lost":3}`))
	if err != nil {
		t.Fatal(err)
	}
	var at time.Duration
	var lost int64
	s := r.Stream(func(p capture.Piece) { at, lost = p.At, lost+p.Lost })
	var got []string
	b := make([]byte, 2)
	for {
		n, err := s.Read(b)
		if errors.Is(err, io.EOF) {
			break
		}
		got = append(got, at.String()+" "+string(b[:n]))
	}
	if diff := cmp.Diff([]string{"5ms ab", "5ms c", "9ms \xff\x00"}, got); diff != "" || lost != 3 {
		t.Errorf("lost %d (-want +got)\n%s", lost, diff)
	}
}
