package config

import (
	"bytes"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// defaultPath is where a configuration is looked for, defaultState where a gateway
// keeps its state, and defaultZone its time zone, if nothing else is configured.
const (
	defaultPath  = "/etc/gatewayd/gatewayd.toml"
	defaultState = "/var/lib/gatewayd"
	defaultZone  = "Asia/Jakarta"
)

// Basics is what it takes to ask a gateway that runs: where its state is, and in
// which time zone the office lies. The rest of the file may be wrong, and the
// files that it names unreadable: whoever edits a configuration must still be
// able to look at the gateway that runs with the old one. The error is of type
// Problems, for a file that cannot be read at all.
func Basics(path string) (Gateway, error) {
	g := Gateway{StateDir: defaultState}
	g.Timezone, _ = time.LoadLocation(defaultZone) // embedded
	data, err := readLimited(path)
	switch {
	case err != nil && filepath.Clean(path) == defaultPath:
		return g, nil
	case err != nil:
		return g, unreadable(path, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return g, unreadable(path, err)
	}
	keys := gatewayKeys(bytes.TrimPrefix(data, utf8Mark))
	if s := keys["state_dir"]; s != "" {
		g.StateDir = s
		if !filepath.IsAbs(s) {
			g.StateDir = filepath.Join(dir, s)
		}
	}
	if loc, err := time.LoadLocation(keys["timezone"]); err == nil && keys["timezone"] != "" {
		g.Timezone = loc
	}
	g.ID, g.Dinas = keys["id"], keys["dinas"]
	return g, nil
}

// WhyDefaultState tells why Basics returned the default state_dir although the file may
// have meant another: the error is of type Problems, and names what is wrong with the
// file. It is nil where the file names a state_dir, or is right without one.
func WhyDefaultState(path string) error {
	data, err := readLimited(path)
	if err != nil {
		return unreadable(path, err)
	}
	if gatewayKeys(bytes.TrimPrefix(data, utf8Mark))["state_dir"] != "" {
		return nil
	}
	_, err = Parse(path, data)
	return err
}

// gatewayKeys are the texts in the table [gateway], as far as they can be read.
func gatewayKeys(data []byte) map[string]string {
	keys := make(map[string]string)
	d := &document{lines: lineStarts(data)}
	root := &table{doc: d, line: 1}
	d.build(root, data) // up to the first mistake
	if v := root.values["gateway"]; v != nil && v.table != nil {
		for key, value := range v.table.values {
			if value.kind == unstable.String {
				keys[key] = value.text
			}
		}
	}
	// After a mistake the parser stops: each further line is read by itself.
	within := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			within = strings.HasPrefix(strings.ReplaceAll(line, " ", ""), "[gateway]")
			continue
		}
		var one map[string]any
		if !within || toml.Unmarshal([]byte(line), &one) != nil {
			continue
		}
		for key, value := range one {
			if text, ok := value.(string); ok && keys[key] == "" {
				keys[key] = text
			}
		}
	}
	return keys
}
