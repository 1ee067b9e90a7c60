package city_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// grafanaSchema is the newest schema of dashboards that Grafana 10.2.3 knows. One that
// says more is imported as it is, without the changes that its version would need.
const grafanaSchema = 39

// postgresSource is the kind of data source that asks PostgreSQL.
const postgresSource = "grafana-postgresql-datasource"

// classic is the form of dashboards that Grafana 10 has, and every later one imports.
type classic = dashboard.Dashboard //nolint:staticcheck // its successor is for Grafana 12 and later

// importFaults are the reasons why Grafana would not import a dashboard, or show it
// otherwise than its file says: first what its own schema says, then what only the
// import finds out.
//
// Provisioned are the data sources of its Grafana that it names by their uid; others it
// has to ask for at the import.
func importFaults(text []byte, provisioned ...string) error {
	plugins.RegisterDefaultPlugins() // the options of each kind of panel
	// The strict reading returns an empty list where all is well, and then keeps no panels.
	if err := new(classic).UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		return err
	}
	var d classic
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	if err := d.Validate(); err != nil {
		return err
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if d.Id != nil {
		fault("id: that of another Grafana, whose dashboard of this number would be replaced")
	}
	if d.Uid == nil || !regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`).MatchString(*d.Uid) {
		fault("uid: none, or none that Grafana takes")
	}
	if d.Title == nil || strings.TrimSpace(*d.Title) == "" {
		fault("title: none")
	}
	if d.SchemaVersion == 0 || d.SchemaVersion > grafanaSchema {
		fault("schemaVersion: %d", d.SchemaVersion)
	}
	var inputs struct {
		Inputs []input `json:"__inputs"`
	}
	if err := json.Unmarshal(text, &inputs); err != nil {
		return err
	}
	variables, wrong := variablesOf(d, inputs.Inputs)
	faults = append(faults, wrong...)
	source := func(where string, ref *dashboard.DataSourceRef) {
		if ref == nil || ref.Type == nil || ref.Uid == nil {
			fault("%s: no data source with type and uid", where)
			return
		}
		if slices.Contains(provisioned, *ref.Uid) && *ref.Type == postgresSource {
			return
		}
		name := strings.TrimSuffix(strings.TrimPrefix(*ref.Uid, "${"), "}")
		if kind, known := variables[name]; name == *ref.Uid || !known || kind != *ref.Type {
			fault("%s: the data source %s is that of one Grafana, or is no variable for %s", where, *ref.Uid, *ref.Type)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == dashboard.VariableTypeQuery {
			source("variable "+v.Name, v.Datasource)
		}
	}
	ids := map[uint32]bool{}
	for i, p := range d.Panels {
		if p.Panel == nil {
			continue // a row
		}
		where := fmt.Sprintf("panel %d", i+1)
		faults = append(faults, panelFaults(where, p.Panel, d.Panels[:i], variables)...)
		if p.Panel.Id == nil || *p.Panel.Id == 0 || ids[*p.Panel.Id] {
			fault("%s: no id of its own", where)
		} else {
			ids[*p.Panel.Id] = true
		}
		source(where, p.Panel.Datasource)
	}
	return errors.Join(faults...)
}

// input is a data source that Grafana asks for at the import.
type input struct{ Name string }

// variablesOf are the variables of a dashboard, each with the kind of data source that it
// asks for, or "", and what is wrong with them.
func variablesOf(d classic, inputs []input) (variables map[string]string, faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	variables = map[string]string{}
	for _, in := range inputs {
		variables[in.Name] = ""
	}
	for _, v := range d.Templating.List {
		own, err := json.Marshal(v)
		if err != nil {
			return nil, []error{err}
		}
		for _, name := range variablesIn(string(own)) {
			if _, known := variables[name]; !known {
				fault("variable %s: asks for $%s, which comes later or never", v.Name, name)
			}
		}
		if _, twice := variables[v.Name]; twice {
			fault("variable %s: is there twice", v.Name)
		}
		variables[v.Name] = ""
		if v.Type == dashboard.VariableTypeDatasource && v.Query != nil && v.Query.String != nil {
			variables[v.Name] = *v.Query.String
		}
	}
	return variables, faults
}

// panelFaults are the faults of one panel, which stands behind others.
func panelFaults(where string, p *dashboard.Panel, before []dashboard.PanelOrRowPanel, variables map[string]string) (faults []error) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf(where+": "+format, args...))
	}
	if at := p.GridPos; at == nil || at.W == 0 || at.H == 0 || at.X+at.W > 24 {
		fault("no place within the 24 columns")
	} else {
		for _, other := range before {
			if o := other.Panel; o != nil && o.GridPos != nil && at.X < o.GridPos.X+o.GridPos.W && o.GridPos.X < at.X+at.W &&
				at.Y < o.GridPos.Y+o.GridPos.H && o.GridPos.Y < at.Y+at.H {
				fault("lies over another one")
			}
		}
	}
	if len(p.Targets) == 0 {
		fault("asks nothing")
	}
	var refs []string
	for _, target := range p.Targets {
		text, err := json.Marshal(target)
		if err != nil {
			return append(faults, err)
		}
		var t struct {
			RefID      string `json:"refId"`
			RawSQL     string `json:"rawSql"`
			Datasource struct{ UID, Type string }
		}
		if err := json.Unmarshal(text, &t); err != nil {
			return append(faults, err)
		}
		if t.RefID == "" || slices.Contains(refs, t.RefID) {
			fault("a query without a refId of its own")
		}
		refs = append(refs, t.RefID)
		if p.Datasource != nil && p.Datasource.Uid != nil && t.Datasource.UID != *p.Datasource.Uid {
			fault("a query to another data source than the panel's")
		}
		for _, name := range variablesIn(t.RawSQL) {
			if _, known := variables[name]; !known {
				fault("asks for $%s, which is no variable", name)
			}
		}
	}
	return faults
}

// variablesIn are the variables that a text asks for, but for those of Grafana itself.
func variablesIn(text string) (names []string) {
	for _, m := range regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(m[1], "__") {
			names = append(names, m[1])
		}
	}
	return names
}

func TestGrafanaImportsTheDashboard(t *testing.T) {
	if err := importFaults([]byte(read(t, "grafana.json"))); err != nil {
		t.Error(err)
	}
}

// TestGrafanaTakesTheProvisionedDashboards: each names data sources that its own Grafana
// is provisioned with: the one for all, or the personnel office's.
func TestGrafanaTakesTheProvisionedDashboards(t *testing.T) {
	uids := map[string]string{}
	for _, folder := range []string{"grafana", "grafana/personnel"} {
		var sources []string
		for _, path := range matching(t, folder+"/provisioning/datasources/*.yaml") {
			for _, m := range regexp.MustCompile(`(?m)^    uid: (\S+)$`).FindAllStringSubmatch(read(t, path), -1) {
				sources = append(sources, m[1])
			}
		}
		for _, path := range matching(t, folder+"/dashboards/*.json") {
			text := read(t, path)
			if err := importFaults([]byte(text), sources...); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			uid := regexp.MustCompile(`(?m)^  "uid": "(.*)"`).FindString(text)
			if other, twice := uids[uid]; twice {
				t.Errorf("%s and %s have one uid", path, other)
			}
			uids[uid] = path
		}
	}
	if err := importFaults([]byte(read(t, "grafana/personnel/dashboards/person-day.json")), "presence-fleet", "presence-office", "presence-health"); err == nil {
		t.Error("the Grafana for all takes the dashboard with names")
	}
}

// matching are the files of a pattern, of which there is at least one.
func matching(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	return found
}

// TestImportFaultsAreFound gives the dashboard each of the faults by which imports are
// known to fail.
func TestImportFaultsAreFound(t *testing.T) {
	type object = map[string]any
	panel := func(d object, i int) object { return d["panels"].([]any)[i].(object) }
	target := func(d object, i int) object { return panel(d, i)["targets"].([]any)[0].(object) }
	variable := func(d object, i int) object { return d["templating"].(object)["list"].([]any)[i].(object) }
	for name, tc := range map[string]struct {
		breaks func(d object)
		says   string
	}{
		"an id":                       {func(d object) { d["id"] = 17 }, "id: that of another Grafana"},
		"no uid":                      {func(d object) { delete(d, "uid") }, "uid: none"},
		"a uid too long":              {func(d object) { d["uid"] = strings.Repeat("x", 41) }, "uid: none"},
		"no title":                    {func(d object) { d["title"] = " " }, "title: none"},
		"no schema version":           {func(d object) { delete(d, "schemaVersion") }, "schemaVersion"},
		"a schema of later":           {func(d object) { d["schemaVersion"] = grafanaSchema + 1 }, "schemaVersion: 40"},
		"no annotations":              {func(d object) { delete(d, "annotations") }, "annotations: required field"},
		"an unknown field":            {func(d object) { d["dashboard"] = object{} }, "dashboard"},
		"two panels of one id":        {func(d object) { panel(d, 1)["id"] = 1 }, "panel 2: no id of its own"},
		"a panel without an id":       {func(d object) { delete(panel(d, 1), "id") }, "panel 2: no id of its own"},
		"panels over each other":      {func(d object) { panel(d, 1)["gridPos"].(object)["y"] = 8 }, "panel 2: lies over another one"},
		"a panel beyond the edge":     {func(d object) { panel(d, 3)["gridPos"].(object)["x"] = 13 }, "panel 4: no place"},
		"a panel without a type":      {func(d object) { delete(panel(d, 3), "type") }, "panels[3]: discriminator field"},
		"a data source of here":       {func(d object) { panel(d, 0)["datasource"].(object)["uid"] = "P1809F7CD0C75ACF3" }, "panel 1: the data source P1809F7CD0C75ACF3"},
		"an input that is not there":  {func(d object) { panel(d, 0)["datasource"].(object)["uid"] = "${DS_POSTGRES}" }, "panel 1: the data source ${DS_POSTGRES}"},
		"another kind of data source": {func(d object) { variable(d, 0)["query"] = "postgres" }, "is no variable for grafana-postgresql-datasource"},
		"no data source":              {func(d object) { delete(panel(d, 0), "datasource") }, "panel 1: no data source"},
		"a query elsewhere":           {func(d object) { target(d, 0)["datasource"].(object)["uid"] = "other" }, "panel 1: a query to another data source"},
		"a query without a refId":     {func(d object) { delete(target(d, 2), "refId") }, "panel 3: a query without a refId"},
		"no query":                    {func(d object) { panel(d, 2)["targets"] = []any{} }, "panel 3: asks nothing"},
		"an undefined variable":       {func(d object) { target(d, 2)["rawSql"] = "SELECT 1 WHERE 1 IN ($office)" }, "panel 3: asks for $office"},
		"a variable too early":        {func(d object) { variable(d, 1)["query"] = "SELECT $gateway" }, "variable dinas: asks for $gateway"},
		"a variable twice":            {func(d object) { variable(d, 2)["name"] = "dinas" }, "variable dinas: is there twice"},
		"text for a number":           {func(d object) { panel(d, 0)["id"] = "1" }, "id: "},
		"a dashboard of the API": {func(d object) {
			inner := object{}
			for key, value := range d {
				inner[key] = value
				delete(d, key)
			}
			d["dashboard"] = inner
		}, "dashboard"},
	} {
		var d object
		if err := json.Unmarshal([]byte(read(t, "grafana.json")), &d); err != nil {
			t.Fatal(err)
		}
		tc.breaks(d)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := importFaults(text); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
