package main

import (
	"fmt"
	"testing"
	"time"

	"presence/scripts/brokertest"
	"presence/scripts/city/internal/lightfleet"
	"presence/scripts/city/internal/lightgateway"
	"presence/scripts/natstest"
)

// onNATS starts a city whose broker is three nats-servers as the kit configures them. The
// recorder and the gateways call them by one name, and show certificates of the city.
func onNATS(t *testing.T) (*theCity, *natstest.Cluster, func(*lightfleet.Options)) {
	t.Helper()
	var gateways []string
	for n := range 20 {
		gateways = append(gateways, fmt.Sprintf("sim-%04d", n+1))
	}
	cluster := natstest.StartCluster(t, gateways...)
	var nodes []*brokertest.Broker
	var addresses []string
	for _, s := range cluster.Nodes {
		nodes = append(nodes, brokertest.At(t, s.MQTT))
		addresses = append(addresses, s.Address())
	}
	cert, key := cluster.Pair("recorder")
	c := newCityWith(t, nodes, fmt.Sprintf("[[broker]]\nurl = \"tls://%s\"\nclient_id = \"recorder-5b1f\"\nca_file = %q\ncert_file = %q\nkey_file = %q\n",
		brokertest.OneName(t, addresses...), cluster.CAFile(), cert, key))
	certificates := func(o *lightfleet.Options) {
		order := o.Configure
		o.Configure = func(g *lightgateway.Options) error {
			g.TLS = cluster.TLS(g.Gateway)
			return order(g)
		}
	}
	return c, cluster, certificates
}

// back starts the nodes again that were killed, and waits until they work with the others.
func back(w *torture, cluster *natstest.Cluster) {
	<-w.upTo(time.Second)
	cluster.Start()
	cluster.AwaitReady()
}

// One node of three is killed while events come, another one each time: the recorder and a
// third of the gateways go to the others.
func TestKilledNATSNode(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c, cluster, certificates := onNATS(t)
	w.tormented(t, c, "a NATS node", func(*lightfleet.Fleet) {
		cluster.Nodes[w.random.IntN(3)].Kill()
		back(w, cluster)
	}, certificates)
}

// The node is killed that leads the others for what waits for the recorder.
func TestKilledNATSLeader(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c, cluster, certificates := onNATS(t)
	w.tormented(t, c, "the NATS leader", func(*lightfleet.Fleet) {
		cluster.Leader().Kill()
		back(w, cluster)
	}, certificates)
}

// All three nodes are killed at once.
func TestKilledNATSAltogether(t *testing.T) {
	t.Parallel()
	w := newTorture(t)
	c, cluster, certificates := onNATS(t)
	w.tormented(t, c, "all NATS nodes", func(*lightfleet.Fleet) {
		cluster.Kill()
		back(w, cluster)
	}, certificates)
}

// TestBenchNATS measures how fast what waited at 20 gateways gets into the table over NATS:
// NATS_EVENTS (5,000) at each. With GATEWAYS=20 EVENTS=5000, TestBenchBacklog does the same
// over mosquitto.
func TestBenchNATS(t *testing.T) {
	onlyInBench(t)
	events := setting(t, "NATS_EVENTS", 5000)
	c, _, certificates := onNATS(t)
	fleet := c.newFleet(20, certificates)
	fleet.Record(events - 1) // and the start event
	began := time.Now()
	fleet.Start(t.Context(), 0)
	c.awaitConfirmed(fleet, 5*time.Minute)
	took := time.Since(began)
	has := c.prove(fleet)
	fmt.Printf("| %d gateways, %d events waiting at each, three nats-servers | %d events in %.1f s: %.0f/s; %d rows, %d missing |\n",
		fleet.Len(), events, has.events, took.Seconds(), float64(has.events)/took.Seconds(), has.distinct, has.holes)
}
