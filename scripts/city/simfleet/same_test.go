package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/scripts/city/internal/lightgateway"
	"presence/scripts/city/internal/realfleet"
)

// rowsOf is what the database holds of a gateway: all that does not name the gateway, its
// stream or its program.
const rowsOf = `select e.seq, e.rev, e.kind, e.quality, e.error_ms, e.at, e.badge, e.tag, e.zone, e.lat, e.lon,
	e.more - 'version' - 'boot' - 'boot_ms'
	from presence.event e join presence.stream s using (stream) where s.gateway = '%s' order by e.seq`

// The same taps and tags through a real gateway and a light one give the same rows in the
// database: SAME_GATEWAYS of each (2; 50 in make city-torture).
func TestSameRowsAsARealGateway(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts daemons")
	}
	n := setting(t, "SAME_GATEWAYS", 2)
	c := newCity(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const taps, tags = 5, 40
	for i := range n {
		name := fmt.Sprintf("real-%02d", i+1)
		g := c.realGateway(name, "")
		if err := g.Start(ctx); err != nil {
			t.Fatal(err)
		}
		answers, err := g.Tap(ctx, fmt.Sprintf("04A1B2%02X000001", i), taps)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if a.Outcome != "accepted" {
				t.Errorf("a tap is %s: %s", a.Outcome, a.Reason)
			}
		}
		var reports []realfleet.Report
		for k := range tags {
			reports = append(reports, realfleet.Report{Fleet: 100 + i, Unit: 1000 + k, Lat: -7.97 - float64(k)/600, Lon: 112.63, At: time.Now()})
		}
		if err := g.Hear(reports...); err != nil {
			t.Fatal(err)
		}
		c.awaitEvents(name, 1+taps+tags)
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
		want := c.rows(fmt.Sprintf(rowsOf, name))
		light := c.lightCopy(ctx, name, fmt.Sprintf("light-%02d", i+1))
		c.awaitEvents(light, 1+taps+tags)
		if diff := cmp.Diff(want, c.rows(fmt.Sprintf(rowsOf, light))); diff != "" {
			t.Errorf("rows of a real gateway (-) and of a light one (+):\n%s", diff)
		}
	}
	if h := c.count(); h.holes != 0 || h.refused != 0 {
		t.Errorf("%+v", h)
	}
}

// realGateway makes a real gateway that is closed when the test ends. Mqtt are further
// keys of its table [mqtt].
func (c *theCity) realGateway(name, mqtt string) *realfleet.Gateway {
	c.t.Helper()
	g, err := realfleet.New(realfleet.Options{
		Binary: program(c.t, "gatewayd"), Dir: filepath.Join(c.t.TempDir(), name), Dinas: "dinkes", Gateway: name,
		Broker: c.brokers[0].URL(), Receipts: true, Radio: true, Poll: "10ms", MQTT: mqtt,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := g.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return g
}

// rows are the rows of a query, columns set off by tabs. The start event's time is that of
// its gateway's start, and left out.
func (c *theCity) rows(sql string) []string {
	c.t.Helper()
	text, err := c.db.Query("city", sql)
	if err != nil {
		c.t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(text), "\n")
	for i, row := range rows {
		if columns := strings.Split(row, "\t"); columns[2] == "start" {
			columns[5] = "at its start"
			rows[i] = strings.Join(columns, "\t")
		}
	}
	return rows
}

// awaitEvents waits until the database has so many events of a gateway.
func (c *theCity) awaitEvents(gateway string, n int) {
	c.t.Helper()
	c.await("the events of "+gateway, func() (string, bool) {
		got := c.number(fmt.Sprintf("select count(*) from presence.event join presence.stream using (stream) where gateway = '%s'", gateway))
		return fmt.Sprint(got), got == int64(n)
	})
}

// lightCopy runs a light gateway that records what the database has of another one.
func (c *theCity) lightCopy(ctx context.Context, of, name string) string {
	c.t.Helper()
	g, err := lightgateway.New(lightgateway.Options{Dinas: "dinkes", Gateway: name, Brokers: c.addresses(), Receipts: true})
	if err != nil {
		c.t.Fatal(err)
	}
	sql := fmt.Sprintf(`select e.kind, extract(epoch from e.at) * 1000, coalesce(e.badge, e.tag), e.lat, e.lon
		from presence.event e join presence.stream s using (stream) where s.gateway = '%s' and e.seq > 1 order by e.seq`, of)
	text, err := c.db.Query("city", sql)
	if err != nil {
		c.t.Fatal(err)
	}
	for row := range strings.Lines(strings.TrimRight(text, "\n")) {
		columns := strings.Split(strings.TrimRight(row, "\n"), "\t")
		at := time.UnixMilli(int64(c.float(columns[1])))
		if columns[0] == "badge" {
			g.Tap(at, columns[2], false)
			continue
		}
		g.Tag(at, columns[2], c.float(columns[3]), c.float(columns[4]), "", false)
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Run(ctx)
	}()
	c.t.Cleanup(func() {
		stop()
		<-done
	})
	return name
}

func (c *theCity) float(text string) float64 {
	c.t.Helper()
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}
