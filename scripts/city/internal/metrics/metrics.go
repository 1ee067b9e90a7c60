// Package metrics is what the recorder counts, for Prometheus.
//
// It exists because a recorder that stores nothing stays silent: gateways keep everything,
// and nobody notices before somebody looks at numbers. What to be alarmed by is said in
// RECORDER.md.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"presence/scripts/city/internal/event"
)

// Metrics are the recorder's, over all its terms. Their methods may be called from any
// goroutine.
type Metrics struct {
	registry *prometheus.Registry

	events         *prometheus.CounterVec
	refused        *prometheus.CounterVec
	commits        prometheus.Counter
	commitSeconds  prometheus.Histogram
	storeSeconds   prometheus.Histogram
	failures       *prometheus.CounterVec
	storing        prometheus.Gauge
	lastCommit     prometheus.Gauge
	receipts       prometheus.Counter
	asked, answers prometheus.Counter
}

// Now is what is asked of a recorder when somebody looks.
type Now interface {
	// Leads reports whether the recorder leads.
	Leads() bool
	// DatabaseConnected reports whether it has a session at the database.
	DatabaseConnected() bool
	// BrokerConnected reports whether it has a session at a broker.
	BrokerConnected(broker int) bool
	// Queue is what waits to be stored, and since when; zero: nothing does.
	Queue() (events, bytes int, since time.Time)
	// Pending is how many events wait at gateways, by what those said last.
	Pending() int
}

// New makes metrics of a recorder with some brokers, by their URLs.
func New(now Now, brokers []string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recorder_events_total",
			Help: "Revisions of events that came: stored (new), doubled (stored before), foreign (of a stream of another gateway, refused).",
		}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recorder_refused_total",
			Help: "Messages and lines of batches that are in presence.refused, by cause.",
		}, []string{"cause"}),
		commits: prometheus.NewCounter(prometheus.CounterOpts{Name: "recorder_commits_total", Help: "Transactions that were committed."}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "recorder_commit_seconds",
			Help: "How long it took to store a batch.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		storeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "recorder_lag_seconds",
			Help: "From the arrival of the oldest message of a batch until it was stored.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 15),
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recorder_commit_failures_total",
			Help: "Attempts at storing a batch that failed: no_room (disk, memory, connections), again (another transaction was in the way), broken (connection, or anything else).",
		}, []string{"why"}),
		storing:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "recorder_storing", Help: "1 while the database stores, 0 since it did not."}),
		lastCommit: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recorder_last_commit_timestamp_seconds", Help: "When something was stored last; 0: not since the recorder was started."}),
		receipts:   prometheus.NewCounter(prometheus.CounterOpts{Name: "recorder_receipts_total", Help: "Receipts that were handed to a broker."}),
		asked:      prometheus.NewCounter(prometheus.CounterOpts{Name: "recorder_resyncs_total", Help: "Times that a gateway was asked for missing events."}),
		answers:    prometheus.NewCounter(prometheus.CounterOpts{Name: "recorder_resyncs_refused_total", Help: "Times that it answered that it does not have them."}),
	}
	for _, result := range []string{"stored", "doubled", "foreign"} {
		m.events.WithLabelValues(result)
	}
	for _, why := range []string{"no_room", "again", "broken"} {
		m.failures.WithLabelValues(why)
	}
	for _, cause := range event.Causes() {
		m.refused.WithLabelValues(string(cause))
	}
	m.registry.MustRegister(m.events, m.refused, m.commits, m.commitSeconds, m.storeSeconds, m.failures, m.storing,
		m.lastCommit, m.receipts, m.asked, m.answers,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.ask(now, brokers)
	return m
}

// ask registers what is asked of the recorder at each look.
func (m *Metrics) ask(now Now, brokers []string) {
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	one := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	gauge("recorder_leader", "1 while this recorder leads; one of several does.", nil, func() float64 { return one(now.Leads()) })
	gauge("recorder_database_connected", "1 while there is a session at the database, also of one that stands by.", nil, func() float64 { return one(now.DatabaseConnected()) })
	for i, url := range brokers {
		gauge("recorder_broker_connected", "1 while there is a session at the broker. One that does not lead has none.",
			prometheus.Labels{"broker": url}, func() float64 { return one(now.BrokerConnected(i)) })
	}
	gauge("recorder_queue_events", "Events that wait in memory.", nil, func() float64 { n, _, _ := now.Queue(); return float64(n) })
	gauge("recorder_queue_bytes", "Memory that events take until they are stored.", nil, func() float64 { _, n, _ := now.Queue(); return float64(n) })
	gauge("recorder_queue_oldest_seconds", "How long the oldest of them has waited.", nil, func() float64 {
		if _, _, since := now.Queue(); !since.IsZero() {
			return time.Since(since).Seconds()
		}
		return 0
	})
	gauge("recorder_gateways_pending_events", "Events that wait at gateways, by what their health documents said last.", nil, func() float64 { return float64(now.Pending()) })
}

// Handler shows the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Commit is what a batch did.
type Commit struct {
	Stored, Doubled, Foreign int64
	Refused                  []event.Refusal
	Transactions             int
	Took                     time.Duration // to store it
	Lag                      time.Duration // since its oldest message came
}

// Committed counts a batch that was stored.
func (m *Metrics) Committed(c Commit) {
	m.events.WithLabelValues("stored").Add(float64(c.Stored))
	m.events.WithLabelValues("doubled").Add(float64(c.Doubled))
	m.events.WithLabelValues("foreign").Add(float64(c.Foreign))
	for i := range c.Refused {
		m.refused.WithLabelValues(string(c.Refused[i].Cause)).Inc()
	}
	m.commits.Add(float64(c.Transactions))
	m.commitSeconds.Observe(c.Took.Seconds())
	m.storeSeconds.Observe(c.Lag.Seconds())
	m.lastCommit.SetToCurrentTime()
	m.storing.Set(1)
}

// Failed counts an attempt at storing that failed: no_room, again or broken.
func (m *Metrics) Failed(why string) {
	m.failures.WithLabelValues(why).Inc()
	m.storing.Set(0)
}

// Stores notes whether the database can store as far as is known.
func (m *Metrics) Stores(yes bool) {
	m.storing.Set(0)
	if yes {
		m.storing.Set(1)
	}
}

// Receipt counts a receipt.
func (m *Metrics) Receipt() { m.receipts.Inc() }

// Asked counts a gateway that was asked for events.
func (m *Metrics) Asked() { m.asked.Inc() }

// Refused counts a gateway that answered that it does not have them.
func (m *Metrics) Refused() { m.answers.Inc() }
