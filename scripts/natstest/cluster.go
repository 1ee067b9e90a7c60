package natstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"presence/scripts/city/nats/conf"
)

// messages is the stream in which NATS keeps what waits for sessions of MQTT.
const messages = "$MQTT_msgs"

// Cluster is three servers as scripts/city/nats configures them, with certificates of an
// authority that ca.sh made.
type Cluster struct {
	Nodes     []*Server
	Authority string // folder of ca.sh

	t     testing.TB
	nodes []conf.Node
	to    string // folder with the nodes' configurations
}

// Authority makes the folder of an authority that has signed certificates for the broker,
// for programs of the city and for gateways of these ids.
func Authority(t testing.TB, gateways ...string) (folder string) {
	t.Helper()
	c := &Cluster{Authority: t.TempDir(), t: t}
	c.CA("init", "Kota Uji")
	c.CA("broker", "localhost", "127.0.0.1")
	c.CA("client", "recorder", "admin", "city")
	for _, id := range gateways {
		c.Sign(id)
	}
	return c.Authority
}

// StartCluster runs three servers, and returns once they take messages. They let in the
// gateways of these ids, and the programs of the city.
func StartCluster(t testing.TB, gateways ...string) *Cluster {
	t.Helper()
	c := &Cluster{Authority: Authority(t, gateways...), t: t, to: t.TempDir()}
	binary := Program(t)
	for _, name := range []string{"n1", "n2", "n3"} {
		ports := freePorts(t, 4)
		folder := filepath.Join(c.to, name)
		c.nodes = append(c.nodes, conf.Node{
			Name: name, Host: "127.0.0.1", Folder: folder, Store: t.TempDir(),
			MQTT: ports[0], Route: ports[1], Client: ports[2], Monitor: ports[3],
		})
		s := &Server{Name: name, MQTT: ports[0], t: t, binary: binary, config: filepath.Join(folder, "nats.conf"), monitor: ports[3]}
		s.watch()
		c.Nodes = append(c.Nodes, s)
	}
	c.Configure()
	c.Start()
	c.AwaitReady()
	return c
}

// Configure writes the nodes' configurations anew, from what the authority knows now.
func (c *Cluster) Configure() {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(c.t), "scripts/city/gatewayd.acl"))
	if err != nil {
		c.t.Fatal(err)
	}
	of := conf.Cluster{Nodes: c.nodes}
	if of.ACL, err = conf.ParseACL(string(text)); err != nil {
		c.t.Fatal(err)
	}
	if of.Keys, err = conf.ReadAuthority(c.Authority); err != nil {
		c.t.Fatal(err)
	}
	if err := of.Write(c.Authority, c.to); err != nil {
		c.t.Fatal(err)
	}
}

// CA runs ca.sh.
func (c *Cluster) CA(args ...string) {
	c.t.Helper()
	cmd := exec.Command(filepath.Join(Root(c.t), "scripts/city/ca.sh"), args...)
	cmd.Env = append(os.Environ(), "CA_DIR="+c.Authority, "CA_PASSPHRASE=bunga matahari", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("ca.sh %s: %v\n%s", args, err, out)
	}
}

// Sign has the authority sign a certificate for a gateway with a new key.
func (c *Cluster) Sign(id string) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: id}}, key)
	if err != nil {
		c.t.Fatal(err)
	}
	csr := filepath.Join(c.t.TempDir(), id+".csr")
	for path, block := range map[string]*pem.Block{
		csr: {Type: "CERTIFICATE REQUEST", Bytes: request},
		filepath.Join(c.Authority, "issued-"+id+".key"): {Type: "EC PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	c.CA("sign", csr)
}

// CAFile is the certificate of the authority.
func (c *Cluster) CAFile() string { return filepath.Join(c.Authority, "ca.pem") }

// Pair are the files with certificate and key of a gateway, or of a program of the city.
func (c *Cluster) Pair(name string) (cert, key string) {
	own := filepath.Join(c.Authority, "own", name)
	if _, err := os.Stat(own + ".pem"); err == nil {
		return own + ".pem", own + ".key"
	}
	return filepath.Join(c.Authority, "issued", name+".pem"), filepath.Join(c.Authority, "issued-"+name+".key")
}

// TLS is how a gateway, or a program of the city, connects.
func (c *Cluster) TLS(name string) *tls.Config {
	c.t.Helper()
	pair, err := tls.LoadX509KeyPair(c.Pair(name))
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := os.ReadFile(c.CAFile())
	if err != nil {
		c.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// URLs are the addresses of all nodes.
func (c *Cluster) URLs() (all []string) {
	for _, s := range c.Nodes {
		all = append(all, "tls://"+s.Address())
	}
	return all
}

// Start starts the nodes that do not run.
func (c *Cluster) Start() {
	for _, s := range c.Nodes {
		if !s.Runs() {
			s.Start()
		}
	}
}

// AwaitReady waits until all nodes are ready.
func (c *Cluster) AwaitReady() {
	c.t.Helper()
	for _, s := range c.Nodes {
		s.AwaitReady()
	}
}

// Kill kills all nodes.
func (c *Cluster) Kill() {
	for _, s := range c.Nodes {
		s.Kill()
	}
}

// Leader is the node that leads the others for what waits for the city's session.
func (c *Cluster) Leader() *Server {
	c.t.Helper()
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); <-time.After(100 * time.Millisecond) {
		for _, s := range c.Nodes {
			if leader := s.leader(); s.Runs() && leader != "" {
				for _, other := range c.Nodes {
					if other.Name == leader && other.Runs() {
						return other
					}
				}
			}
		}
	}
	c.t.Fatalf("nobody leads the stream %s", messages)
	return nil
}

// leader is the name of the node that leads the stream of messages, as far as this one
// knows.
func (s *Server) leader() string {
	for _, stream := range s.streams() {
		if stream.Name == messages {
			return stream.Cluster.Leader
		}
	}
	return ""
}

// stream is a stream as the monitoring port tells of it.
type stream struct {
	Name   string
	Config struct {
		Replicas int `json:"num_replicas"`
	}
	State struct {
		Consumers int `json:"consumer_count"`
	}
	Cluster struct{ Leader string }
}

func (s *Server) streams() (all []stream) {
	var jsz struct {
		Accounts []struct {
			Streams []stream `json:"stream_detail"`
		} `json:"account_details"`
	}
	if s.ask("jsz?streams=true&config=true", &jsz) != nil {
		return nil
	}
	for _, account := range jsz.Accounts {
		all = append(all, account.Streams...)
	}
	return all
}

// Streams are the names of the streams of which the server has a replica.
func (s *Server) Streams() (names []string) {
	for _, stream := range s.streams() {
		names = append(names, stream.Name)
	}
	return names
}

// Consumers is how many consumers there are of messages for clients of MQTT: one for each
// subscription at QoS 1.
func (s *Server) Consumers() int {
	for _, stream := range s.streams() {
		if stream.Name == messages {
			return stream.State.Consumers
		}
	}
	return 0
}

// Replicas says how many replicas each stream has.
func (c *Cluster) Replicas() map[string]int {
	replicas := make(map[string]int)
	for _, s := range c.Nodes {
		for _, stream := range s.streams() {
			replicas[stream.Name] = stream.Config.Replicas
		}
	}
	return replicas
}

// LetsIntoCluster reports whether a node takes whoever shows the certificate of that name
// for one of the others.
func (c *Cluster) LetsIntoCluster(name string) bool {
	c.t.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", c.nodes[0].Route), wait)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	config := c.TLS(name)
	config.ServerName = "localhost"
	secure := tls.Client(conn, config)
	if secure.Handshake() != nil {
		return false
	}
	// With TLS 1.3 a refusal comes after the handshake; otherwise the node introduces itself.
	_, err = secure.Read(make([]byte, 4096))
	return err == nil
}
