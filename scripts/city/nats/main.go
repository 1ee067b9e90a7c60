// Command nats writes the configuration of three nats-servers, as the broker of a city that
// wants a cluster (ENGINES.md). It is run again, and the nodes are started anew one after
// the other, whenever the authority has signed a new gateway or has taken a certificate
// back.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"presence/scripts/city/nats/conf"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("nats", flag.ContinueOnError)
	authority := flags.String("authority", ".", "folder of the authority (ca.sh)")
	acl := flags.String("acl", "scripts/city/gatewayd.acl", "who may say what")
	to := flags.String("to", "nats-nodes", "folder to write into, one for each node below it")
	sync := flags.String("sync", "2m", `sync_interval of JetStream: "always" where the city sends no receipts`)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "nats [-authority FOLDER] [-acl FILE] [-to FOLDER] [-sync 2m] NAME=HOST NAME=HOST NAME=HOST")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	c := conf.Cluster{Sync: *sync}
	for _, node := range flags.Args() {
		name, host, ok := strings.Cut(node, "=")
		if !ok || name == "" || host == "" || name != filepath.Base(name) {
			return fmt.Errorf("node %q: want NAME=HOST", node)
		}
		c.Nodes = append(c.Nodes, conf.Node{Name: name, Host: host})
	}
	text, err := os.ReadFile(*acl)
	if err != nil {
		return fmt.Errorf("read ACL: %w", err)
	}
	if c.ACL, err = conf.ParseACL(string(text)); err != nil {
		return err
	}
	if c.Keys, err = conf.ReadAuthority(*authority); err != nil {
		return err
	}
	if err := c.Write(*authority, *to); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: three nodes, %d certificates; on one node after the other, with its folder as /etc/nats: sudo systemctl restart nats-server\n", *to, len(c.Keys)-1)
	return err
}
