package city_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// zabbixExport is a template as the import of Zabbix 6.0 reads it: all keys that it knows
// at these places and we use (C60XmlValidator in its frontend). Any other is refused.
type zabbixExport struct {
	Export struct {
		Version string
		Date    string
		Groups  []struct {
			UUID, Name string
		}
		Templates []struct {
			UUID, Template, Name, Description string
			Groups                            []struct{ Name string }
			Macros                            []struct{ Macro, Value, Description string }
			Items                             []zabbixImportItem
		}
	} `yaml:"zabbix_export"`
}

type zabbixImportItem struct {
	UUID, Name, Type, Key, Delay, History, Trends, Units, Description string

	ValueType     string `yaml:"value_type"`
	Preprocessing []struct {
		Type               string
		Parameters         []string
		ErrorHandler       string `yaml:"error_handler"`
		ErrorHandlerParams string `yaml:"error_handler_params"`
	}
	Master struct{ Key string } `yaml:"master_item"`
	// Of a trigger with several items the import wants a list of its own beside the
	// templates.
	Triggers []struct{ UUID, Expression, Name, Priority, Description string }
}

// zabbixFaults are the reasons why Zabbix 6.0, and so every later one, would not import a
// template.
func zabbixFaults(text []byte) error {
	var z zabbixExport
	strict := yaml.NewDecoder(bytes.NewReader(text))
	strict.KnownFields(true)
	if err := strict.Decode(&z); err != nil {
		return err
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	oneOf := func(where, value string, values ...string) {
		if !slices.Contains(values, value) {
			fault("%s: %q is none of %s", where, value, strings.Join(values, ", "))
		}
	}
	seen := make(map[string]bool)
	uuid := func(where, id string) {
		// No hyphens: API_UUID of its API takes 32 hex digits of version 4.
		if !regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`).MatchString(id) {
			fault("%s: uuid %q is not 32 hex digits of version 4", where, id)
		}
		if seen[id] {
			fault("%s: uuid %q is there twice", where, id)
		}
		seen[id] = true
	}
	oneOf("version", z.Export.Version, "6.0")
	groups := make(map[string]bool)
	for _, g := range z.Export.Groups {
		uuid("group "+g.Name, g.UUID)
		groups[g.Name] = true
	}
	for _, template := range z.Export.Templates {
		uuid("template", template.UUID)
		if len(template.Groups) == 0 || template.Template == "" {
			fault("template: it has no name, or is in no group")
		}
		for _, g := range template.Groups {
			if !groups[g.Name] {
				fault("template: the group %q is not in groups, with its uuid", g.Name)
			}
		}
		macros := make(map[string]bool)
		for _, m := range template.Macros {
			if !regexp.MustCompile(`^\{\$[A-Z0-9_.]+\}$`).MatchString(m.Macro) {
				fault("macro %q is none", m.Macro)
			}
			macros[m.Macro] = true
		}
		for _, m := range regexp.MustCompile(`\{\$[^}]*\}`).FindAllString(string(text), -1) {
			if !macros[m] {
				macros[m] = true // told once
				fault("the macro %s is not in macros", m)
			}
		}
		keys := make(map[string]bool)
		for _, item := range template.Items {
			if keys[item.Key] {
				fault("item %s: its key is there twice", item.Name)
			}
			keys[item.Key] = true
		}
		for _, item := range template.Items {
			where := "item " + item.Name
			uuid(where, item.UUID)
			if item.Name == "" || item.Key == "" {
				fault("%s: name or key is missing", where)
			}
			oneOf(where+": type", item.Type, "ZABBIX_ACTIVE", "DEPENDENT")
			oneOf(where+": value_type", item.ValueType, "FLOAT", "CHAR", "LOG", "UNSIGNED", "TEXT")
			oneOf(where+": delay", item.Delay, "0") // dependent ones have none, and mqtt.get goes by messages
			if text := slices.Contains([]string{"CHAR", "LOG", "TEXT"}, item.ValueType); text && item.Trends != "0" || text && item.Units != "" {
				fault("%s: text has no trends and no units", where)
			}
			if (item.Type == "DEPENDENT") != (item.Master.Key != "") || item.Master.Key != "" && !keys[item.Master.Key] {
				fault("%s: its master item is missing, or too many", where)
			}
			for _, step := range item.Preprocessing {
				oneOf(where+": preprocessing", step.Type, "JSONPATH")
				oneOf(where+": error_handler", step.ErrorHandler, "ORIGINAL_ERROR", "DISCARD_VALUE", "CUSTOM_VALUE", "CUSTOM_ERROR")
				if len(step.Parameters) != 1 {
					fault("%s: a path is one parameter", where)
				}
			}
			for _, trigger := range item.Triggers {
				where := "trigger " + trigger.Name
				uuid(where, trigger.UUID)
				oneOf(where+": priority", trigger.Priority, "NOT_CLASSIFIED", "INFO", "WARNING", "AVERAGE", "HIGH", "DISASTER")
				// Since 5.4: function(/host/key). Before: {host:key.function()}.
				if trigger.Name == "" || !regexp.MustCompile(`^[a-z]+\(/`+regexp.QuoteMeta(template.Template)+`/.+\)\s*[<>=]`).MatchString(trigger.Expression) {
					fault("%s: %q is no expression of Zabbix 5.4 or later", where, trigger.Expression)
				}
			}
		}
	}
	if len(z.Export.Templates) != 1 {
		fault("%d templates", len(z.Export.Templates))
	}
	return errors.Join(faults...)
}

// TestZabbixWouldImportIt: what the import of Zabbix 6.0 asks of a template holds, and
// what it is known to refuse is found.
func TestZabbixWouldImportIt(t *testing.T) {
	text := read(t, "zabbix.yaml")
	if err := zabbixFaults([]byte(text)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"a version that 6.0 does not know":       {"version: '6.0'", "version: '6.4'"},
		"groups as 6.4 calls them":               {"  groups:\n    - uuid", "  template_groups:\n    - uuid"},
		"a uuid with hyphens":                    {"104c108ff7a745f3b3a263b037e62584", "104c108f-f7a7-45f3-b3a2-63b037e62584"},
		"a uuid of another version":              {"104c108ff7a745f3b3a263b037e62584", "104c108ff7a715f3b3a263b037e62584"},
		"a uuid in capitals":                     {"104c108ff7a745f3b3a263b037e62584", "104C108FF7A745F3B3A263B037E62584"},
		"an item without a uuid":                 {"- uuid: 65ff34f6e40a45688df2b60eef7264a4\n          name: Health", "- name: Health"},
		"a uuid that is there twice":             {"65ff34f6e40a45688df2b60eef7264a4", "104c108ff7a745f3b3a263b037e62584"},
		"a key of a later version":               {"      macros:\n", "      vendor:\n        name: city\n      macros:\n"},
		"a group that is not there":              {"        - name: Templates/Presence", "        - name: Templates"},
		"a macro that is not there":              {"        - macro: '{$LATE}'\n", "        - macro: '{$LATER}'\n"},
		"a dependent item that has no master":    {"          master_item:\n            key: 'mqtt.get[{$SESSION},\"presence/v1/{$DINAS}/{$GATEWAY}/status\"]'\n", ""},
		"a type of value that is none":           {"value_type: CHAR", "value_type: STRING"},
		"trends of text":                         {"          value_type: CHAR\n          trends: '0'\n", "          value_type: CHAR\n"},
		"a priority that is none":                {"priority: HIGH", "priority: CRITICAL"},
		"a trigger as before 5.4":                {"'last(/Presence gateway by MQTT/gateway.state)=\"offline\"'", "'{Presence gateway by MQTT:gateway.state.last()}=\"offline\"'"},
		"an error handler that is none":          {"error_handler: DISCARD_VALUE", "error_handler: DISCARD"},
		"an interval for a dependent item":       {"key: gateway.state\n          delay: '0'", "key: gateway.state\n          delay: 1m"},
		"a key at the wrong place (indentation)": {"          units: s\n", "        units: s\n"},
	} {
		if !strings.Contains(text, change[0]) {
			t.Errorf("%s: the template has no %q", name, change[0])
			continue
		}
		if zabbixFaults([]byte(strings.Replace(text, change[0], change[1], 1))) == nil {
			t.Errorf("%s is not found", name)
		}
	}
}
