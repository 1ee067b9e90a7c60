package config

import (
	"bytes"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// usualPath is where a configuration is looked for, and usualState where a
// gateway keeps its state, if nobody says otherwise.
const (
	usualPath  = "/etc/gatewayd/gatewayd.toml"
	usualState = "/var/lib/gatewayd"
	usualZone  = "Asia/Jakarta"
)

// Basics is what it takes to ask a gateway that runs: where its state is, and in
// which time zone the office lies. The rest of the file may be wrong, and the
// files that it names unreadable: whoever edits a configuration must still be
// able to look at the gateway that runs with the old one. The error is of type
// Problems, for a file that cannot be read at all.
func Basics(path string) (Gateway, error) {
	g := Gateway{StateDir: usualState}
	g.Timezone, _ = time.LoadLocation(usualZone) // embedded
	data, err := readLimited(path)
	switch {
	case err != nil && filepath.Clean(path) == usualPath:
		return g, nil
	case err != nil:
		return g, unreadable(path, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return g, unreadable(path, err)
	}
	said := gatewayKeys(bytes.TrimPrefix(data, utf8Mark))
	if s := said["state_dir"]; s != "" {
		g.StateDir = s
		if !filepath.IsAbs(s) {
			g.StateDir = filepath.Join(dir, s)
		}
	}
	if loc, err := time.LoadLocation(said["timezone"]); err == nil && said["timezone"] != "" {
		g.Timezone = loc
	}
	g.ID, g.Dinas = said["id"], said["dinas"]
	return g, nil
}

// Unsaid tells why no state_dir could be made out in a file, so that Basics names
// the usual one: the error is of type Problems, and names what is wrong with the
// file. It is nil where the file says another, or is right without saying one.
func Unsaid(path string) error {
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

// gatewayKeys are the texts in the table [gateway], as far as they can be made
// out.
func gatewayKeys(data []byte) map[string]string {
	said := make(map[string]string)
	d := &document{lines: lineStarts(data)}
	root := &table{doc: d, line: 1}
	d.build(root, data) // up to where it is no TOML any more
	if v := root.values["gateway"]; v != nil && v.table != nil {
		for key, value := range v.table.values {
			if value.kind == unstable.String {
				said[key] = value.text
			}
		}
	}
	// Behind a mistake each line is read by itself.
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
			if text, ok := value.(string); ok && said[key] == "" {
				said[key] = text
			}
		}
	}
	return said
}
