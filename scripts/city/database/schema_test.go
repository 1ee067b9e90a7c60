package database_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	contract "presence/scripts/city"
)

// schemas draws values that the schemas of the AsyncAPI document describe.
type schemas map[string]any

func eventSchemas(t *testing.T) schemas {
	t.Helper()
	var document struct {
		Components struct {
			Schemas map[string]any `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(contract.AsyncAPI(), &document); err != nil {
		t.Fatal(err)
	}
	return document.Components.Schemas
}

// draw makes the fields that are of an event's kind, and what all events may have beside
// place and time. A kind that nobody knows has fields of any sort.
func (s schemas) draw(t *rapid.T, kind string) map[string]any {
	fields := make(map[string]any)
	schema, known := s[kind].(map[string]any)
	if !known {
		return map[string]any{"boot_ms": 7, "badge": nil, "lat": "somewhere", "tag": []any{1.5, nil}, "size": anything(t, 3), "more": anything(t, 3)}
	}
	s.members(t, schema, fields)
	s.members(t, map[string]any{"properties": map[string]any{
		"boot": map[string]any{"$ref": "#/components/schemas/uuid"}, "boot_ms": map[string]any{"type": "integer", "minimum": 0},
	}, "required": []any{"boot", "boot_ms"}}, fields)
	if rapid.Bool().Draw(t, "simulated") {
		fields["simulated"] = true
	}
	for _, name := range []string{"kind", "seq", "upto", "link"} {
		delete(fields, name)
	}
	if rapid.IntRange(0, 3).Draw(t, "unsynced") == 0 {
		fields["time"], fields["time_quality"], fields["time_error_ms"] = nil, "unsynced", nil
	}
	return fields
}

func (s schemas) members(t *rapid.T, schema, fields map[string]any) {
	required, _ := schema["required"].([]any)
	properties, _ := schema["properties"].(map[string]any)
	names := make([]string, 0, len(properties))
	for name := range properties {
		names = append(names, name)
	}
	slices.Sort(names) // rapid draws in the same order each time
	for _, name := range names {
		if slices.Contains(required, any(name)) || rapid.Bool().Draw(t, name+"?") {
			fields[name] = s.value(t, properties[name].(map[string]any), name)
		}
	}
}

// value draws one that a schema allows, as far as this test needs it.
func (s schemas) value(t *rapid.T, schema map[string]any, name string) any {
	if ref, ok := schema["$ref"].(string); ok {
		return s.value(t, s[ref[strings.LastIndexByte(ref, '/')+1:]].(map[string]any), name)
	}
	for _, choice := range []string{"anyOf", "enum"} {
		if list, ok := schema[choice].([]any); ok {
			one := rapid.SampledFrom(list).Draw(t, name)
			if nested, ok := one.(map[string]any); ok {
				return s.value(t, nested, name)
			}
			return one
		}
	}
	if fixed, ok := schema["const"]; ok {
		return fixed
	}
	switch one := typeOf(t, schema, name); one {
	case "array":
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, name) {
			list = append(list, s.value(t, schema["items"].(map[string]any), name))
		}
		return list
	case "object":
		fields := make(map[string]any)
		s.members(t, schema, fields)
		if free, ok := schema["additionalProperties"].(map[string]any); ok {
			fields[printable(rapid.String().Draw(t, name))] = s.value(t, free, name)
		}
		if from, ok := fields["from"].(int64); ok && fields["to"] != nil { // a range
			fields["to"] = min(from+7, 1<<53-1)
		}
		return fields
	default:
		return scalar(t, schema, one, name)
	}
}

func scalar(t *rapid.T, schema map[string]any, kind, name string) any {
	switch kind {
	case "null":
		return nil
	case "string":
		if pattern, ok := schema["pattern"].(string); ok {
			return printable(rapid.StringMatching(pattern).Draw(t, name))
		}
		return printable(rapid.String().Draw(t, name))
	case "integer":
		return rapid.Int64Range(bound(schema, "minimum", -1<<53+1), bound(schema, "maximum", 1<<53-1)).Draw(t, name)
	case "number":
		return rapid.OneOf(
			rapid.Float64Range(float64(bound(schema, "minimum", -1e9)), float64(bound(schema, "maximum", 1e9))),
			rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1e-7, 5e-324, 0.1, 1.0 / 3, 90}),
		).Draw(t, name)
	default:
		panic(fmt.Sprintf("%s: no way to draw %v", name, schema))
	}
}

func typeOf(t *rapid.T, schema map[string]any, name string) string {
	if several, ok := schema["type"].([]any); ok {
		return rapid.SampledFrom(several).Draw(t, name).(string)
	}
	one, _ := schema["type"].(string)
	return one
}

func bound(schema map[string]any, name string, otherwise int64) int64 {
	if n, ok := schema[name].(int); ok {
		return int64(n)
	}
	return otherwise
}

// printable is a text that PostgreSQL can store.
func printable(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "0") }

// anything is any JSON.
func anything(t *rapid.T, depth int) any {
	switch rapid.IntRange(0, 3+min(depth, 2)).Draw(t, "any") {
	case 0:
		return nil
	case 1:
		return rapid.Float64().Draw(t, "number")
	case 2:
		return printable(rapid.String().Draw(t, "text"))
	case 3:
		return json.RawMessage(fmt.Sprintf("%d.50e%d", rapid.Int32().Draw(t, "digits"), rapid.IntRange(-30, 30).Draw(t, "exponent")))
	case 4:
		return []any{anything(t, depth-1), anything(t, depth-1)}
	default:
		return map[string]any{printable(rapid.String().Draw(t, "name")): anything(t, depth-1)}
	}
}
