package presence_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/presence/presencetest"
	"presence/scripts/city"
)

// description is the AsyncAPI document as a tree.
type description struct{ root map[string]any }

func describe(t *testing.T) description {
	t.Helper()
	var d description
	if err := yaml.Unmarshal(city.AsyncAPI(), &d.root); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d description) schema(name string) map[string]any {
	s, _ := d.root["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
	return s
}

// fields are the names of all fields that a schema has, "readers[].name", and
// of those of its objects that would let others pass.
func (d description) fields(t *testing.T, s map[string]any, path string) (names map[string]bool, open []string) {
	t.Helper()
	names = make(map[string]bool)
	add := func(s map[string]any, path string) {
		n, o := d.fields(t, s, path)
		maps.Copy(names, n)
		open = append(open, o...)
	}
	if ref, ok := s["$ref"].(string); ok {
		add(d.schema(ref[strings.LastIndexByte(ref, '/')+1:]), path)
	}
	for _, group := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := s[group].([]any)
		for _, one := range list {
			n, _ := d.fields(t, one.(map[string]any), path) // the schema around it is what must be closed
			maps.Copy(names, n)
		}
	}
	if items, ok := s["items"].(map[string]any); ok {
		add(items, path+"[]")
	}
	properties, _ := s["properties"].(map[string]any)
	for name, p := range properties {
		below := name
		if path != "" {
			below = path + "." + name
		}
		names[below] = true
		if p, ok := p.(map[string]any); ok {
			add(p, below)
		}
	}
	if len(properties) > 0 && s["additionalProperties"] != false && s["unevaluatedProperties"] != false {
		open = append(open, path)
	}
	if _, free := s["additionalProperties"].(map[string]any); free {
		names[path+".*"] = true // any name
	}
	return names, open
}

// sent are the names of the fields that a type is encoded with, in the same form.
func sent(typ reflect.Type, path string) (names []string) {
	switch typ.Kind() {
	case reflect.Pointer:
		return sent(typ.Elem(), path)
	case reflect.Slice:
		if typ == reflect.TypeFor[json.RawMessage]() {
			return nil
		}
		return sent(typ.Elem(), path+"[]")
	case reflect.Map:
		return []string{path + ".*"}
	case reflect.Struct:
	default:
		return nil
	}
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if path != "" {
			name = path + "." + name
		}
		names = append(append(names, name), sent(f.Type, name)...)
	}
	return names
}

// TestEveryMessageIsDescribed: no field is sent that the AsyncAPI document does
// not have, and no schema of what is sent would let one pass.
func TestEveryMessageIsDescribed(t *testing.T) {
	d := describe(t)
	check := func(schema string, names []string) {
		t.Helper()
		s := d.schema(schema)
		if s == nil {
			t.Errorf("there is no schema %s", schema)
			return
		}
		known, open := d.fields(t, s, "")
		for _, path := range open {
			t.Errorf("%s: the object %q lets undescribed fields pass", schema, path)
		}
		for _, name := range names {
			parent := name[:max(strings.LastIndexByte(name, '.'), 0)]
			if !known[name] && !known[parent+".*"] {
				t.Errorf("%s: the field %s is sent and not described", schema, name)
			}
		}
	}
	health := slices.DeleteFunc(sent(reflect.TypeFor[presence.Health](), ""), func(name string) bool {
		return strings.HasPrefix(name, "alert_texts") // for who asks the gateway itself
	})
	check("health", health)
	check("status", sent(reflect.TypeFor[presence.Status](), ""))
	check("info", sent(reflect.TypeFor[presence.Info](), ""))
	check("alert", sent(reflect.TypeFor[presence.Alert](), ""))
	check("reply", sent(reflect.TypeFor[presence.Reply](), ""))
	check("log", sent(reflect.TypeFor[presence.LogLine](), ""))
	check("timeRequest", sent(reflect.TypeFor[presence.TimeRequest](), ""))
	for _, r := range presencetest.Records() {
		raw, err := presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC}.Event(&r, presencetest.Timing())
		if err != nil {
			t.Fatal(err)
		}
		var e any
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		check(r.Kind.String(), presencetest.Fields(e))
	}
}

// TestEveryAlertIsDescribed: what a consumer can see of alerts is in the
// document.
func TestEveryAlertIsDescribed(t *testing.T) {
	v, err := city.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range alerts.Codes() {
		code = strings.ReplaceAll(code, "<name>", strings.Repeat("n", 32)) // the longest name
		text, err := json.Marshal(presence.Alert{Code: code, Level: presence.LevelWarn, About: []string{"x"}, ID: "x", EN: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Validate("presence/v1/dinkes/dinkes-01/alert/"+code, text); err != nil {
			t.Errorf("alert %s is not described: %v", code, err)
		}
	}
	if err := v.Validate("presence/v1/dinkes/dinkes-01/alert/lunch", []byte(`{"code":"lunch","level":"warn","since":"","id":"x","en":"x"}`)); err == nil {
		t.Error("any code passes")
	}
}

// TestEveryTagNameIsDescribed: whatever a decoder calls a tag, a consumer that goes
// by the document takes it.
func TestEveryTagNameIsDescribed(t *testing.T) {
	pattern, _ := describe(t).schema("tagName")["pattern"].(string)
	form := regexp.MustCompile(pattern)
	for _, name := range beacon.TagExamples() {
		if !form.MatchString(name) {
			t.Errorf("a tag can be named %s, which does not match the pattern of tagName in scripts/city/asyncapi.yaml", name)
		}
	}
}
