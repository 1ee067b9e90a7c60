package conf

import (
	"bytes"
	_ "embed" // the template
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// Node is one of the three servers.
type Node struct {
	Name string // of the server and of its folder
	Host string // by which the two others call it, as in the broker's certificate

	Folder string // where its files will lie; ""  for /etc/nats
	Store  string // for what it stores; "" for /var/lib/nats

	MQTT, Route, Client, Monitor int // ports; 0 for 8883, 6222, 4222 and 8222
}

// Cluster is what the configuration is made of.
type Cluster struct {
	Nodes []Node
	Keys  Keys
	ACL   ACL
	Sync  string // JetStream's sync_interval; "" for 2m
}

//go:embed nats.conf.tmpl
var text string

// Write writes a folder for each node, with nats.conf, users.conf, and from the authority's
// folder the files that they name.
func (c Cluster) Write(authority, to string) error {
	if len(c.Nodes) != 3 {
		return fmt.Errorf("%d nodes: want 3, so that two are left to agree when one is gone", len(c.Nodes))
	}
	if len(c.Keys[broker]) == 0 {
		return errors.New("the authority has no certificate for the broker: ca.sh broker NAME..., with the name that gateways call and those of the three nodes")
	}
	users, err := c.users()
	if err != nil {
		return err
	}
	for i := range c.Nodes {
		conf, err := c.node(i)
		if err != nil {
			return err
		}
		folder := filepath.Join(to, c.Nodes[i].Name)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		files := map[string][]byte{"nats.conf": conf, "users.conf": users}
		for name, from := range map[string]string{"city-ca.pem": "ca.pem", "broker.pem": "own/broker.pem", "broker.key": "own/broker.key"} {
			if files[name], err = os.ReadFile(filepath.Join(authority, from)); err != nil {
				return fmt.Errorf("read authority: %w", err)
			}
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
				return fmt.Errorf("write configuration: %w", err)
			}
		}
	}
	return nil
}

// node is nats.conf of a node.
func (c Cluster) node(i int) ([]byte, error) {
	all := make([]Node, len(c.Nodes))
	var routes []string
	for j, n := range c.Nodes {
		all[j] = n.withDefaults()
		routes = append(routes, fmt.Sprintf("%q", fmt.Sprintf("tls://%s:%d", all[j].Host, all[j].Route)))
	}
	sync := c.Sync
	if sync == "" {
		sync = "2m"
	}
	t, err := template.New("nats.conf").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Node
		Sync, Routes, Nodes, Clients string
	}{all[i], sync, strings.Join(routes, ", "), list(c.Keys.pins(broker)), list(c.Keys.pins(c.Keys.clients()...))})
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return out.Bytes(), nil
}

func (n Node) withDefaults() Node {
	for _, d := range []struct {
		port  *int
		usual int
	}{{&n.MQTT, 8883}, {&n.Route, 6222}, {&n.Client, 4222}, {&n.Monitor, 8222}} {
		if *d.port == 0 {
			*d.port = d.usual
		}
	}
	if n.Folder == "" {
		n.Folder = "/etc/nats"
	}
	if n.Store == "" {
		n.Store = "/var/lib/nats"
	}
	return n
}

// users is users.conf: who may say what, by the name in the certificate.
func (c Cluster) users() ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# Who may say what, by the name in the certificate. Made from the authority's folder and\n" +
		"# gatewayd.acl: do not edit it, make it anew.\nusers: [\n")
	for _, name := range c.Keys.clients() {
		rules, program := c.ACL.Programs[name]
		if !program {
			rules = c.ACL.Gateway(name)
		}
		if strings.ContainsAny(name, "*>. \t\"\\") || name == "" {
			return nil, fmt.Errorf("a certificate is for %q, which cannot be part of a subject", name)
		}
		fmt.Fprintf(&out, "  {user: \"CN=%s\", allowed_connection_types: [\"MQTT\"], permissions: {publish: {allow: [%s]}, subscribe: {allow: [%s]}}}\n",
			name, list(rules.Publish), list(rules.Subscribe))
	}
	out.WriteString("]\n")
	return out.Bytes(), nil
}

// list is strings as the configuration has them. With none of them nothing is allowed: an
// empty list would allow everything, so it holds a subject that nobody uses.
func list(all []string) string {
	if len(all) == 0 {
		all = []string{"nothing"}
	}
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(quoted, ", ")
}
