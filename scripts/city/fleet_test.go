package city_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"

	"presence/scripts/city"
)

// schema is as much of a JSON Schema as says which fields there are.
type schema struct {
	Properties map[string]schema
	Items      *schema
}

// fields are the names of a schema's fields, those of objects within joined by a
// separator.
func (s schema) fields(separator string) (names []string) {
	for name, p := range s.Properties {
		names = append(names, name)
		for _, inner := range p.fields(separator) {
			names = append(names, name+separator+inner)
		}
	}
	return names
}

// schemas are those of the AsyncAPI document.
func schemas(t *testing.T) map[string]schema {
	t.Helper()
	var document struct {
		Components struct{ Schemas map[string]schema }
	}
	if err := yaml.Unmarshal(city.AsyncAPI(), &document); err != nil {
		t.Fatal(err)
	}
	return document.Components.Schemas
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// monitored are the topics that a program of monitoring may read.
func monitored(t *testing.T, program string) []string {
	t.Helper()
	return rules(t, section(t, read(t, "gatewayd.acl"), program), "topic read")
}

func TestTelegrafNamesWhatThereIs(t *testing.T) {
	var conf struct {
		Inputs struct {
			MQTT []struct {
				Topics       []string
				ClientID     string   `toml:"client_id"`
				Cert         string   `toml:"tls_cert"`
				Key          string   `toml:"tls_key"`
				StringFields []string `toml:"json_string_fields"`
				Parsing      []struct {
					Topic string
				} `toml:"topic_parsing"`
				JSON []struct {
					Object []struct {
						Path string
						Keys []string `toml:"included_keys"`
					}
				} `toml:"json_v2"`
			} `toml:"mqtt_consumer"`
		}
	}
	if err := toml.Unmarshal([]byte(read(t, "telegraf.conf")), &conf); err != nil {
		t.Fatal(err)
	}
	all := schemas(t)
	known := slices.Concat(all["health"].fields("_"), all["status"].fields("_"))
	if len(conf.Inputs.MQTT) == 0 {
		t.Fatal("it reads nothing")
	}
	connections := make(map[string]bool)
	for _, in := range conf.Inputs.MQTT {
		const dir = "/etc/telegraf/"
		if in.Cert != dir+in.ClientID+".pem" || in.Key != dir+in.ClientID+".key" || connections[in.ClientID] {
			t.Errorf("%s shows %s with %s, or is there twice: each input is a client of its own", in.ClientID, in.Cert, in.Key)
		}
		connections[in.ClientID] = true
		for _, topic := range in.Topics {
			if !slices.Contains(monitored(t, in.ClientID), strings.TrimPrefix(topic, "presence/v1/+/+/")) {
				t.Errorf("it may not read %s", topic)
			}
			if len(in.Parsing) != 1 || in.Parsing[0].Topic != topic {
				t.Errorf("%s is parsed as %v", topic, in.Parsing)
			}
		}
		for _, name := range in.StringFields {
			if !slices.Contains(known, name) {
				t.Errorf("no message has %s", name)
			}
		}
		for _, parser := range in.JSON {
			for _, object := range parser.Object {
				items := all["health"].Properties[object.Path].Items
				if items == nil {
					t.Errorf("health has no list %s", object.Path)
					continue
				}
				for _, key := range object.Keys {
					if _, ok := items.Properties[key]; !ok {
						t.Errorf("%s have no %s", object.Path, key)
					}
				}
			}
		}
	}
}

func TestGrafanaAsksForWhatTelegrafWrites(t *testing.T) {
	var dashboard struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ RawSQL string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	all := schemas(t)
	tags := []string{"time", "dinas", "gateway"}
	item := func(list string) []string { return all["health"].Properties[list].Items.fields("_") }
	columns := map[string][]string{
		"gateway_health":   append(all["health"].fields("_"), "level_code"),
		"gateway_reader":   item("readers"),
		"gateway_receiver": item("receivers"),
		"gateway_status":   append(all["status"].fields("_"), "online_code"),
		"gateway_alert":    {"code", "value"},
	}
	// Words of SQL and of Grafana, and names that the queries give themselves.
	words := strings.Fields("select distinct on from where and in order by desc left join using as json time_series __timefilter metric heard teks text h s a")
	queries := map[string]string{}
	for _, v := range dashboard.Templating.List {
		if strings.HasPrefix(v.Query, "SELECT") {
			queries["variable "+v.Name] = v.Query
		}
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries[p.Title] = target.RawSQL
		}
	}
	if len(queries) < 8 {
		t.Fatalf("%d queries", len(queries))
	}
	quoted := regexp.MustCompile(`'[^']*'`)
	for title, query := range queries {
		allowed := slices.Concat(words, tags)
		tables := 0
		for _, word := range regexp.MustCompile(`gateway_[a-z]+`).FindAllString(query, -1) {
			if c, ok := columns[word]; ok {
				allowed = append(append(allowed, word), c...)
				tables++
			}
		}
		if tables == 0 {
			t.Errorf("%s asks no table", title)
		}
		for _, word := range regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`).FindAllString(quoted.ReplaceAllString(query, ""), -1) {
			if !slices.Contains(allowed, strings.ToLower(word)) {
				t.Errorf("%s asks for %q, which is not there", title, word)
			}
		}
	}
}

// zabbixItem is an item of a template.
type zabbixItem struct {
	UUID, Name, Key string
	Preprocessing   []struct {
		Type       string
		Parameters []string
	}
	Master struct{ Key string } `yaml:"master_item"`
	// Triggers refer to items by the template's name and their key.
	Triggers []struct{ UUID, Expression, Name string }
}

func TestZabbixNamesWhatThereIs(t *testing.T) {
	var export struct {
		Zabbix struct {
			Version   string
			Templates []struct {
				UUID, Template string
				Items          []zabbixItem
			}
		} `yaml:"zabbix_export"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "zabbix.yaml")), &export); err != nil {
		t.Fatal(err)
	}
	if len(export.Zabbix.Templates) != 1 {
		t.Fatalf("%d templates", len(export.Zabbix.Templates))
	}
	template := export.Zabbix.Templates[0]
	all := schemas(t)
	const base = `mqtt.get[{$SESSION},"presence/v1/{$DINAS}/{$GATEWAY}/`
	uuids := []string{template.UUID}
	keys := make(map[string]bool)
	for _, item := range template.Items {
		keys[item.Key] = true
		uuids = append(uuids, item.UUID)
		for _, trigger := range item.Triggers {
			uuids = append(uuids, trigger.UUID)
		}
	}
	for _, item := range template.Items {
		for _, trigger := range item.Triggers {
			if !strings.Contains(trigger.Expression, "/"+template.Template+"/"+item.Key) {
				t.Errorf("%s: the trigger %q is about something else", item.Name, trigger.Name)
			}
		}
		topic, master := strings.CutPrefix(item.Key, base)
		if master {
			if topic = strings.TrimSuffix(topic, `"]`); !slices.Contains(monitored(t, "monitor"), topic) {
				t.Errorf("%s: it may not read %s", item.Name, topic)
			}
			continue
		}
		if !keys[item.Master.Key] || len(item.Preprocessing) != 1 || item.Preprocessing[0].Type != "JSONPATH" {
			t.Errorf("%s: where does it come from?", item.Name)
			continue
		}
		message := strings.TrimSuffix(strings.TrimPrefix(item.Master.Key, base), `"]`)
		path := strings.TrimPrefix(item.Preprocessing[0].Parameters[0], "$.")
		if !slices.Contains(all[message].fields("."), path) {
			t.Errorf("%s: %s has no %s", item.Name, message, path)
		}
	}
	slices.Sort(uuids)
	if len(slices.Compact(slices.Clone(uuids))) != len(uuids) {
		t.Error("a UUID is there twice")
	}
	for _, id := range uuids {
		if !regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`).MatchString(id) {
			t.Errorf("%s is no UUID of version 4, as Zabbix wants", id)
		}
	}
}
