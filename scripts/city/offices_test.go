package city_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"presence/scripts/city"
)

func officeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "offices.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The list is somebody's spreadsheet: what the programs do not know stays as it is.
func TestListOfOffices(t *testing.T) {
	path := officeFile(t, "\xef\xbb\xbfID;Dinas;Place;Kepala;Lat\r\ndinkes-01;dinkes;Puskesmas Dinoyo;dr. Sari;-7,9\r\n;;;;\r\ndishub-01;dishub\r\n")
	l, err := city.ReadOffices(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []city.Office{{ID: "dinkes-01", Dinas: "dinkes", Place: "Puskesmas Dinoyo"}, {ID: "dishub-01", Dinas: "dishub"}}
	if got := l.Offices(); !slices.Equal(got, want) {
		t.Errorf("the offices are %+v", got)
	}
	if err := l.Add(map[string]string{"id": "dinkes-02", "dinas": "dinkes", "place": `Janti; "lama"`}); err != nil {
		t.Fatal(err)
	}
	if err := l.Change("dishub-01", map[string]string{"id": "dishub-07", "place": "Terminal"}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"an id twice":              func() error { return l.Add(map[string]string{"id": "dinkes-01", "dinas": "dinkes"}) },
		"an id twice, by a change": func() error { return l.Change("dishub-07", map[string]string{"id": "dinkes-01"}) },
		"a wrong id":               func() error { return l.Add(map[string]string{"id": "Dinkes 3", "dinas": "dinkes"}) },
		"an unknown column":        func() error { return l.Add(map[string]string{"id": "dinkes-03", "dinas": "dinkes", "head": "x"}) },
		"a line feed":              func() error { return l.Add(map[string]string{"id": "dinkes-03", "dinas": "dinkes", "place": "a\nb"}) },
		"an unknown office":        func() error { return l.Change("dinkes-09", nil) },
	} {
		if change() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "ID;Dinas;Place;Kepala;Lat\ndinkes-01;dinkes;Puskesmas Dinoyo;dr. Sari;-7,9\n;;;;\ndishub-07;dishub;Terminal;;\ndinkes-02;dinkes;\"Janti; \"\"lama\"\"\";;\n"; string(text) != want {
		t.Errorf("the list is\n%s\nwant\n%s", text, want)
	}
	if err := l.Remove("dishub-07"); err != nil {
		t.Fatal(err)
	}
	again, err := city.ReadOffices(path)
	if err != nil || len(again.Offices()) != 2 {
		t.Errorf("read again: %+v, %v", again, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no department": "id,place\n", "an id twice": "id,dinas\na,b\na,c\n", "a space": "id,dinas\na 1,b\n", "an open quote": "id,dinas\n\"a,b\n",
	} {
		if _, err := city.ReadOffices(officeFile(t, text)); err == nil {
			t.Errorf("a list with %s is read", name)
		}
	}
}

// A holiday or a period is one more entry, and all else stays.
func TestHoursFile(t *testing.T) {
	path := officeFile(t, `{"mon":"07:30-16:00","holidays":["2026-12-25"],"period":[{"from":"2027-02-08","to":"2027-03-09","mon":"09:00-14:00"}]}`)
	f, err := city.ReadHoursFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range []string{"2026-08-17", "2026-12-25", "2027-01-01"} {
		if err := f.Holiday(day, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Holiday("2027-01-01", true); err != nil {
		t.Fatal(err)
	}
	if err := f.Period("2027-02-08", "2027-03-09", []string{"mon-tue=08:00-15:00", "fri=08:00-15:30"}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"no date":     f.Holiday("25-12-2026", false),
		"no day":      f.Period("2027-02-08", "2027-03-09", []string{"senin=08:00-15:00"}),
		"no hours":    f.Period("2027-02-08", "2027-03-09", []string{"mon"}),
		"a turn back": f.Period("2027-02-08", "2027-03-09", []string{"fri-mon=08:00-15:00"}),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := f.WriteTo(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{
  "holidays": [
    "2026-08-17",
    "2026-12-25"
  ],
  "mon": "07:30-16:00",
  "period": [
    {
      "fri": "08:00-15:30",
      "from": "2027-02-08",
      "mon": "08:00-15:00",
      "to": "2027-03-09",
      "tue": "08:00-15:00"
    }
  ]
}
`; string(text) != want {
		t.Errorf("the hours are %s", text)
	}
}
