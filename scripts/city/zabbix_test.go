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

// zabbixImport looks at a template as the import does.
type zabbixImport struct {
	faults []error
	uuids  map[string]bool
}

func (z *zabbixImport) fault(format string, args ...any) {
	z.faults = append(z.faults, fmt.Errorf(format, args...))
}

func (z *zabbixImport) oneOf(where, value string, values ...string) {
	if !slices.Contains(values, value) {
		z.fault("%s: %q is none of %s", where, value, strings.Join(values, ", "))
	}
}

// uuid: no hyphens, no capitals, version 4.
func (z *zabbixImport) uuid(where, id string) {
	if !regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`).MatchString(id) {
		z.fault("%s: uuid %q is not 32 hex digits of version 4", where, id)
	}
	if z.uuids[id] {
		z.fault("%s: uuid %q is there twice", where, id)
	}
	z.uuids[id] = true
}

// zabbixFaults are the reasons why Zabbix 6.0, and so every later one, would not import a
// template, or would read something else than we mean.
func zabbixFaults(text []byte) error {
	var export zabbixExport
	strict := yaml.NewDecoder(bytes.NewReader(text))
	strict.KnownFields(true)
	if err := strict.Decode(&export); err != nil {
		return err
	}
	z := zabbixImport{uuids: make(map[string]bool)}
	z.oneOf("version", export.Export.Version, "6.0")
	if len(export.Export.Templates) != 1 {
		return fmt.Errorf("%d templates", len(export.Export.Templates))
	}
	template := export.Export.Templates[0]
	z.uuid("template", template.UUID)
	var groups, macros, keys []string
	for _, g := range export.Export.Groups {
		z.uuid("group "+g.Name, g.UUID)
		groups = append(groups, g.Name)
	}
	if len(template.Groups) == 0 || template.Template == "" {
		z.fault("template: it has no name, or is in no group")
	}
	for _, g := range template.Groups {
		z.oneOf("group of the template", g.Name, groups...)
	}
	for _, m := range template.Macros {
		macros = append(macros, m.Macro)
	}
	for _, m := range regexp.MustCompile(`\{\$[^}]*\}`).FindAllString(string(text), -1) {
		z.oneOf("macro", m, macros...)
	}
	for _, item := range template.Items {
		z.item(item, template.Template)
		if slices.Contains(keys, item.Key) {
			z.fault("item %s: its key is there twice", item.Name)
		}
		keys = append(keys, item.Key)
	}
	for _, item := range template.Items {
		if item.Type == "DEPENDENT" {
			z.oneOf("master of item "+item.Name, item.Master.Key, keys...)
		} else if item.Master.Key != "" {
			z.fault("item %s: it has a master, and is not dependent", item.Name)
		}
	}
	return errors.Join(z.faults...)
}

// item looks at an item of a template, and its triggers.
func (z *zabbixImport) item(item zabbixImportItem, template string) {
	where := "item " + item.Name
	z.uuid(where, item.UUID)
	if item.Name == "" || item.Key == "" {
		z.fault("%s: name or key is missing", where)
	}
	z.oneOf(where+": type", item.Type, "ZABBIX_ACTIVE", "DEPENDENT")
	z.oneOf(where+": value_type", item.ValueType, "FLOAT", "CHAR", "LOG", "UNSIGNED", "TEXT")
	z.oneOf(where+": delay", item.Delay, "0") // a dependent one has none, and mqtt.get goes by messages
	if text := !slices.Contains([]string{"FLOAT", "UNSIGNED"}, item.ValueType); text && (item.Trends != "0" || item.Units != "") {
		z.fault("%s: text has no trends and no units", where)
	}
	for _, step := range item.Preprocessing {
		z.oneOf(where+": preprocessing", step.Type, "JSONPATH")
		z.oneOf(where+": error_handler", step.ErrorHandler, "ORIGINAL_ERROR", "DISCARD_VALUE", "CUSTOM_VALUE", "CUSTOM_ERROR")
		if len(step.Parameters) != 1 {
			z.fault("%s: a path is one parameter", where)
		}
	}
	for _, trigger := range item.Triggers {
		where := "trigger " + trigger.Name
		z.uuid(where, trigger.UUID)
		z.oneOf(where+": priority", trigger.Priority, "NOT_CLASSIFIED", "INFO", "WARNING", "AVERAGE", "HIGH", "DISASTER")
		// Since 5.4: function(/host/key). Before: {host:key.function()}.
		if trigger.Name == "" || !regexp.MustCompile(`^[a-z]+\(/`+regexp.QuoteMeta(template)+`/.+\)\s*[<>=]`).MatchString(trigger.Expression) {
			z.fault("%s: %q is no expression of Zabbix 5.4 or later", where, trigger.Expression)
		}
	}
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
