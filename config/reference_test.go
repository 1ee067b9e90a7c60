package config

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// keysOf lists the keys of the file that the toml tags of a type name.
func keysOf(path string, typ reflect.Type) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	var keys []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag := f.Tag.Get("toml")
		switch {
		case tag == "":
		case f.Type == reflect.TypeFor[Week]():
			keys = append(keys, join(path, "break"))
			for _, day := range dayKeys() {
				keys = append(keys, join(path, day), join(path, breakKey(day)))
			}
		case tabular(f.Type):
			keys = append(keys, join(path, tag))
			keys = append(keys, keysOf(join(path, tag), f.Type)...)
		default:
			keys = append(keys, join(path, tag))
		}
	}
	return keys
}

// tabular reports whether a field is a table or a list of tables.
func tabular(typ reflect.Type) bool {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return false
	}
	for i := range typ.NumField() {
		if typ.Field(i).Tag.Get("toml") != "" {
			return true
		}
	}
	return false
}

// knownKeys lists the keys that the code asks a table and those within for.
func knownKeys(t *table) []string {
	var keys []string
	for _, key := range t.known {
		keys = append(keys, join(t.path, key))
		if v := t.values[key]; v != nil && v.table != nil {
			keys = append(keys, knownKeys(v.table)...)
		} else if v != nil && len(v.items) > 0 && v.items[0].table != nil {
			keys = append(keys, knownKeys(v.items[0].table)...)
		}
	}
	return keys
}

var (
	defaultLine = regexp.MustCompile(`(?m)^#([a-z\[])`)
	exampleLine = regexp.MustCompile(`(?m)^#   ([a-z_]+ = |\[)`)
)

// withDefaults is the reference with the lines of the defaults taken in, and
// withExamples has those of the examples too.
func withDefaults() []byte { return defaultLine.ReplaceAll(Reference(), []byte("$1")) }

func withExamples() []byte {
	text := regexp.MustCompile(`(?m)^#holidays = .*$`).ReplaceAll(Reference(), nil)
	return exampleLine.ReplaceAll(defaultLine.ReplaceAll(text, []byte("$1")), []byte("$1"))
}

func TestReferenceIsAConfiguration(t *testing.T) {
	for name, text := range map[string][]byte{"as it is": Reference(), "with the defaults": withDefaults(), "with the examples": withExamples()} {
		if _, err := Parse("gatewayd.toml", text); err != nil {
			t.Errorf("%s:\n%v", name, err)
		}
	}
}

func TestReferenceNamesTheDefaults(t *testing.T) {
	plain, err := Parse("gatewayd.toml", Reference())
	if err != nil {
		t.Fatal(err)
	}
	full, err := Parse("gatewayd.toml", withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	zones := cmp.Transformer("zone", func(g Gateway) [4]string {
		return [4]string{g.ID, g.Dinas, g.Timezone.String(), g.StateDir}
	})
	if diff := cmp.Diff(plain, full, zones, cmpopts.IgnoreFields(Config{}, "Digest")); diff != "" {
		t.Errorf("a default of the reference is not that of the code (- code, + reference):\n%s", diff)
	}
}

func TestReferenceMentionsEveryKey(t *testing.T) {
	tagged := keysOf("", reflect.TypeFor[Config]())
	d := newDocument("gatewayd.toml", "/", withExamples())
	d.config()
	known := knownKeys(d.root)
	for _, key := range tagged {
		if !slices.Contains(known, key) {
			t.Errorf("%s is a field of Config, but nobody reads it (or the reference never mentions its table)", key)
		}
	}
	for _, key := range known {
		if !slices.Contains(tagged, key) {
			t.Errorf("%s is read, but is no field of Config", key)
		}
	}
	mentioned := mentionedKeys(d.root)
	// The only key that cannot stand beside the others.
	if !regexp.MustCompile(`fence_file = "`).Match(Reference()) {
		t.Error("the reference does not mention office.fence_file")
	}
	mentioned = append(mentioned, "office.fence_file")
	for _, key := range tagged {
		// Friday's stands for the breaks of all days.
		if day, of := strings.CutSuffix(key, "_break"); of && !strings.HasSuffix(day, ".fri") {
			continue
		}
		if !slices.Contains(mentioned, key) {
			t.Errorf("the reference does not mention %s", key)
		}
	}
}

// TestReferenceNamesTheHardware: whoever writes the configuration finds each chip
// and protocol there, and the usual speed of a receiver's port.
func TestReferenceNamesTheHardware(t *testing.T) {
	text := string(Reference())
	_, speeds, _ := strings.Cut(text, "# Default: ")
	speeds, _, _ = strings.Cut(speeds, "\n")
	for key, table := range map[string][]hardware{"chip": chips(), "protocol": protocols()} {
		for _, h := range table {
			if !strings.Contains(text, strconv.Quote(h.name)) {
				t.Errorf("the reference does not name %s = %q", key, h.name)
			}
			if key != "protocol" {
				continue
			}
			_, names, found := strings.Cut(speeds, strconv.Itoa(h.baud)+" for ")
			names = regexp.MustCompile(`^[^0-9]*`).FindString(names) // up to the next speed
			if !found || !slices.Contains(strings.FieldsFunc(names, func(r rune) bool { return strings.ContainsRune(" ,.", r) }), h.name) {
				t.Errorf("the reference does not say that the usual speed of %s is %d", h.name, h.baud)
			}
		}
	}
}

// mentionedKeys lists the keys that stand in the file.
func mentionedKeys(t *table) []string {
	var keys []string
	for _, key := range t.order {
		keys = append(keys, join(t.path, key))
		v := t.values[key]
		if v.table != nil {
			keys = append(keys, mentionedKeys(v.table)...)
		}
		for _, item := range v.items {
			if item.table != nil {
				keys = append(keys, mentionedKeys(item.table)...)
			}
		}
	}
	return keys
}
