package roster

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/gatewayd/internal/presence"
)

// hashes makes identities as a city does.
func hashes() presence.Badges { return presence.HashedBadges([32]byte{1, 2, 3}) }

// uid is a raw card number, and known is its identity.
const uid = "04A1B2C3D4E5F6"

func known() string {
	return hashes().Identity([]byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6})
}

const other = "h:00112233445566778899aabbccddeeff"

func TestParseCSV(t *testing.T) {
	want := []Pair{{Badge: known(), Tag: "mesh:1c2f13fc"}, {Badge: other, Tag: "kenwood:100-1001"}}
	for name, text := range map[string]string{
		"plain":            uid + ",mesh:1c2f13fc\n" + other + ",kenwood:100-1001\n",
		"no last break":    uid + ",mesh:1c2f13fc\n" + other + ",kenwood:100-1001",
		"heading":          "badge,tag\n" + uid + ",mesh:1c2f13fc\n" + other + ",kenwood:100-1001\n",
		"Excel":            "\xef\xbb\xbfBadge;Tag\r\n" + uid + ";mesh:1c2f13fc\r\n" + other + ";kenwood:100-1001\r\n;\r\n",
		"empty columns":    "badge,tag,,\n" + uid + ",mesh:1c2f13fc,,\n" + other + ",kenwood:100-1001,,\n,,,\n",
		"tabs":             uid + "\tmesh:1c2f13fc\n" + other + "\tkenwood:100-1001\n",
		"comments":         "# the staff, as of May\n\n" + uid + ",mesh:1c2f13fc\n# spare, not in use; really\n" + other + ",kenwood:100-1001\n",
		"quoted":           `"` + uid + `","mesh:1c2f13fc"` + "\n" + `"` + other + `","kenwood:100-1001"` + "\n",
		"spaces":           " " + uid + " , mesh:1c2f13fc \n" + other + ", kenwood:100-1001\n",
		"colons":           "04:a1:b2:c3:d4:e5:f6,mesh:1C2F13FC\n" + strings.ToUpper(other) + ",kenwood:100-1001\n",
		"in another order": uid + ",mesh:1c2f13fc\n\r\n" + other + ",kenwood:100-1001\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCSV([]byte(text), hashes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTagNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"mesh:1c2f13fc": true, "mesh:1C2F13FC": true, "mesh:1c2f13f": false, "mesh:!1c2f13fc": false,
		"kenwood:100-1001": true, "kenwood:U00002": true, "kenwood:00002": true, "kenwood:100": true, "kenwood:a-b": false, "kenwood:": false,
		"reyax:50": true, "reyax:0": true, "reyax:050": false, "reyax:x": false,
		"waypoint:BI4PGN-11": true, "waypoint:Bu Sari": true, "waypoint:": false, "waypoint:a\x07b": false,
		"waypoint:" + strings.Repeat("x", 200): false,
		"lora:1":                               false, "": false, "1c2f13fc": false,
	} {
		_, err := pair(uid, name, "", hashes())
		if (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPlainUIDsStay(t *testing.T) {
	got, err := ParseCSV([]byte("04a1b2c3,reyax:1\n"), presence.PlainBadges())
	if err != nil || len(got) != 1 || got[0].Badge != "04A1B2C3" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseCSV([]byte(other+",reyax:1\n"), presence.PlainBadges()); err == nil {
		t.Error("an identity that no tap will ever have was taken")
	}
}

func TestSpareCards(t *testing.T) {
	got, err := ParseCSV([]byte(uid+",reyax:1\n"+other+",reyax:1\n"), hashes())
	if err != nil || len(got) != 2 {
		t.Errorf("two badges for one tag: %v, %v", got, err)
	}
}

func TestWrongFiles(t *testing.T) {
	good := other + ",reyax:1\n"
	for name, tc := range map[string]struct {
		text string
		want Problems // by line, and a part of the text
	}{
		"a badge twice":             {"# x\n" + good + uid + ",reyax:2\n" + good, Problems{{4, "line 2 again"}}},
		"raw and hashed":            {uid + ",reyax:1\n" + known() + ",reyax:2\n", Problems{{2, "line 1 again"}}},
		"names":                     {good + uid + ",reyax:2,Sari\n", Problems{{2, "no names"}}},
		"one column":                {good + uid + "\n", Problems{{2, "1 columns"}}},
		"a lost zero":               {good + "4112233,reyax:1\n", Problems{{2, "no badge"}}},
		"a short hash":              {"h:001122,reyax:1\n", Problems{{1, "no badge"}}},
		"random UID":                {"08A1B2C3,reyax:1\n", Problems{{1, "random"}}},
		"a tag of another make":     {uid + ",gps:1\n", Problems{{1, "no tag"}}},
		"all of them":               {"x,reyax:1\n" + good + "y,reyax:1\n" + uid + ",1\n", Problems{{1, "no badge"}, {3, "no badge"}, {4, "no tag"}}},
		"a heading in the middle":   {good + "badge,tag\n", Problems{{2, "no badge"}}},
		"an open quote":             {good + "\"" + uid + ",reyax:1\n", Problems{{2, "no CSV"}}},
		"Excel's Unicode text":      {"\xff\xfeb\x00a\x00", Problems{{0, "UTF-8"}}},
		"nobody":                    {"badge,tag\n", Problems{{0, "no pair"}}},
		"nothing":                   {"", Problems{{0, "no pair"}}},
		"a spreadsheet, not a text": {"PK\x03\x04\x00\x00", Problems{{0, "UTF-8"}}},
	} {
		t.Run(name, func(t *testing.T) {
			pairs, err := ParseCSV([]byte(tc.text), hashes())
			var got Problems
			if !errors.As(err, &got) || pairs != nil || len(got) != len(tc.want) {
				t.Fatalf("%v, %v", pairs, err)
			}
			for i, p := range got {
				if p.Line != tc.want[i].Line || !strings.Contains(p.Text, tc.want[i].Text) {
					t.Errorf("line %d %s: want line %d with %q", p.Line, p.Text, tc.want[i].Line, tc.want[i].Text)
				}
			}
		})
	}
}

func TestRoster(t *testing.T) {
	r := New()
	pairs, replaced := r.Pairs()
	if len(pairs) != 0 || r.Source() != None {
		t.Fatalf("a new roster has %v from %s", pairs, r.Source())
	}
	r.SetFile([]Pair{{Badge: "b", Tag: "reyax:2"}, {Badge: "a", Tag: "reyax:1"}})
	select {
	case <-replaced:
	default:
		t.Error("nobody is told of a new roster")
	}
	pairs, replaced = r.Pairs()
	if diff := cmp.Diff([]Pair{{Badge: "a", Tag: "reyax:1"}, {Badge: "b", Tag: "reyax:2"}}, pairs); diff != "" {
		t.Error(diff)
	}
	if tag, ok := r.TagOf("b"); !ok || tag != "reyax:2" {
		t.Errorf("TagOf: %q, %v", tag, ok)
	}
	r.SetFile([]Pair{{Badge: "a", Tag: "reyax:1"}, {Badge: "b", Tag: "reyax:2"}})
	select {
	case <-replaced:
		t.Error("the same roster counts as a new one")
	default:
	}
	r.SetDocument(nil) // signed: nobody
	if _, ok := r.TagOf("a"); ok || r.Source() != Document {
		t.Errorf("the document does not win over the file: source %s", r.Source())
	}
	r.SetFile([]Pair{{Badge: "c", Tag: "reyax:3"}})
	if _, ok := r.TagOf("c"); ok {
		t.Error("the file wins over the document")
	}
}

// follow starts a follower of a file with a text, within a synctest bubble.
func follow(t *testing.T, path, text string) (*Follower, *Roster, *bytes.Buffer) {
	t.Helper()
	write(t, path, text)
	log := new(bytes.Buffer)
	r := New()
	f := Follow(path, hashes(), r, slog.New(slog.NewTextHandler(log, nil)))
	done := make(chan error, 1)
	go func() { done <- f.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	return f, r, log
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func tagOf(r *Roster, badge string) string {
	tag, _ := r.TagOf(badge)
	return tag
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roster.csv")
	synctest.Test(t, func(t *testing.T) {
		f, r, _ := follow(t, path, uid+",reyax:1\n")
		if tagOf(r, known()) != "reyax:1" || f.Problem() != nil {
			t.Fatalf("at the start: %q, %v", tagOf(r, known()), f.Problem())
		}
		write(t, path, uid+",reyax:2\n")
		time.Sleep(5 * time.Second)
		if tagOf(r, known()) != "reyax:2" {
			t.Error("the file was not read again")
		}

		// By rename, as a careful copier does.
		write(t, path+".new", uid+",reyax:3\n")
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if tagOf(r, known()) != "reyax:3" {
			t.Error("a file put in its place was not read")
		}
	})
}

func TestBrokenFileKeepsTheOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roster.csv")
	for name, spoil := range map[string]func(t *testing.T){
		"wrong":    func(t *testing.T) { write(t, path, uid+",reyax:2\n"+uid+",reyax:3\n") },
		"empty":    func(t *testing.T) { write(t, path, "") },
		"no text":  func(t *testing.T) { write(t, path, "\xff\xfe\x00") },
		"gone":     func(t *testing.T) { remove(t, path) },
		"a folder": func(t *testing.T) { remove(t, path); makeDir(t, path) },
		"too large": func(t *testing.T) {
			write(t, path, strings.Repeat("#", maxFile)+"\n"+uid+",reyax:2\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, r, log := follow(t, path, uid+",reyax:1\n")
				spoil(t)
				time.Sleep(15 * time.Second)
				if f.Problem() == nil {
					t.Error("nobody is told")
				}
				if tagOf(r, known()) != "reyax:1" {
					t.Error("the roster is lost")
				}
				remove(t, path)
				write(t, path, uid+",reyax:4\n")
				time.Sleep(5 * time.Second)
				if tagOf(r, known()) != "reyax:4" || f.Problem() != nil {
					t.Errorf("a good file does not heal it: %v", f.Problem())
				}
				if n := strings.Count(log.String(), "level=WARN"); n != 1 {
					t.Errorf("%d warnings:\n%s", n, log)
				}
			})
		})
	}
}

func TestHalfWrittenFileWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roster.csv")
	synctest.Test(t, func(t *testing.T) {
		f, r, _ := follow(t, path, uid+",reyax:1\n"+other+",kenwood:100-1001\n")
		// A slow copy: cut within a line, and going on after a pause.
		write(t, path, uid+",reyax:1\n"+other+",kenwood:100-10")
		time.Sleep(8 * time.Second)
		write(t, path, uid+",reyax:1\n"+other+",kenwood:100-100")
		time.Sleep(8 * time.Second)
		if got := tagOf(r, other); got != "kenwood:100-1001" || f.Problem() != nil {
			t.Errorf("half a line counts: %q, %v", got, f.Problem())
		}
		// It never writes the last line break: some editors do not.
		write(t, path, uid+",reyax:1\n"+other+",kenwood:100-1002")
		time.Sleep(15 * time.Second)
		if got := tagOf(r, other); got != "kenwood:100-1002" {
			t.Errorf("a file without a last line break is never read: %q", got)
		}
		// One that never comes to rest is never read.
		for range 20 {
			write(t, path, uid+",reyax:1\n")
			time.Sleep(1500 * time.Millisecond)
		}
		if got := tagOf(r, other); got != "kenwood:100-1002" {
			t.Errorf("a file that changes all the time was read: %q", got)
		}
	})
}

func TestRawNumbersAreNeverRepeated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roster.csv")
	synctest.Test(t, func(t *testing.T) {
		f, r, log := follow(t, path, uid+",reyax:1\n")
		for _, text := range []string{
			uid + ",gps\n",
			uid + "," + uid + "\n",
			uid + ",reyax:1\n" + uid + ",reyax:1\n",
			uid + "77,reyax:1\n",
			uid + ",reyax:1,Sari\n",
			`"` + uid + "\n",
			uid + `"x",reyax:1` + "\n",
		} {
			write(t, path, text)
			time.Sleep(15 * time.Second)
			if f.Problem() == nil || strings.Contains(f.Problem().Error(), "A1B2C3") {
				t.Errorf("the error is: %v", f.Problem())
			}
		}
		if strings.Contains(strings.ToUpper(log.String()), "A1B2C3") {
			t.Errorf("a raw number in the log:\n%s", log)
		}
		pairs, _ := r.Pairs()
		if len(pairs) != 1 || pairs[0].Badge != known() {
			t.Errorf("kept: %v", pairs)
		}
	})
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func makeDir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
