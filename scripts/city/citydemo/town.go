package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/city/internal/realfleet"
)

// The town: departments with offices, each with a gateway, and the people who work there.
const (
	officesEach = 5
	peopleEach  = 12
	tagsEach    = 5 // how many of them carry a tag
)

// person is somebody who works in an office.
type person struct {
	nip, name string
	badge     string // the card's UID: these gateways send it as it is
	unit      int    // of the tag; 0: carries none
	atHome    bool   // the tag is
	comes     time.Time
	came      string // the id of the tap that the lamp at the door confirmed; "": none
}

func (p *person) tag(fleet int) string { return fmt.Sprintf("kenwood:%d-%d", fleet, p.unit) }

// office is an office with its gateway.
type office struct {
	dinas, gateway string
	lat, lon       float64
	fleet          int // number of its radios
	people         []*person
	door           *realfleet.Gateway
}

// town is all of it.
type town struct {
	offices []*office
	zone    *time.Location
	opens   time.Time // when the working day begins
	random  *rand.Rand
}

func newTown(zone *time.Location, opens time.Time) *town {
	t := &town{zone: zone, opens: opens, random: rand.New(rand.NewPCG(17, 0))}
	first := strings.Fields("Adi Agus Ani Ayu Bambang Budi Citra Dewi Dian Eko Endang Fitri Hadi Indah Joko Kartika Lestari Made Nur Putri Rini Sari Slamet Sri Tri Wahyu Wati Yanto Yuni Zainal")
	last := strings.Fields("Hidayat Kusuma Lestari Nugroho Pratama Purnomo Putra Rahayu Santoso Saputra Setiawan Siregar Suryani Susanto Utami Wibowo Wijaya Wulandari")
	for _, dinas := range []string{"dinkes", "dispendik", "dukcapil", "bapenda"} {
		for n := range officesEach {
			i := len(t.offices)
			o := &office{
				dinas: dinas, gateway: fmt.Sprintf("%s-%02d", dinas, n+1), fleet: 100 + i,
				lat: -7.95 - float64(i)/100, lon: 112.60 + float64(i)/100,
			}
			for k := range peopleEach {
				p := &person{
					nip:   fmt.Sprintf("1990%02d%02d", i, k),
					name:  first[t.random.IntN(len(first))] + " " + last[t.random.IntN(len(last))],
					badge: fmt.Sprintf("04%02X%02XA1B2C3D4", i, k),
				}
				if k < tagsEach {
					p.unit = 1000 + k
				}
				o.people = append(o.people, p)
			}
			t.offices = append(t.offices, o)
		}
	}
	return t
}

// tables are an office's tables of the gateway's configuration.
func (o *office) tables(zone *time.Location, roster string) string {
	return fmt.Sprintf(`[hours]
always = true
[tags]
min_interval = "5s"
min_move_m = 0
roster_file = %q
[office]
lat = %f
lon = %f
radius_m = 100
`, roster, o.lat, o.lon)
}

// startGateways writes each office's configuration and roster and starts its gateway.
func (t *town) startGateways(ctx context.Context, dir, binary, broker string) error {
	for _, o := range t.offices {
		own := filepath.Join(dir, o.gateway)
		if err := os.MkdirAll(own, 0o700); err != nil {
			return err
		}
		roster := filepath.Join(own, "roster.csv")
		if err := o.writeRoster(roster); err != nil {
			return err
		}
		var err error
		o.door, err = realfleet.New(realfleet.Options{
			Binary: binary, Dir: own, Dinas: o.dinas, Gateway: o.gateway, Broker: broker, Receipts: true, Radio: true,
			Zone: t.zone.String(), Tables: o.tables(t.zone, roster),
		})
		if err == nil {
			err = o.door.Start(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeRoster writes which tag belongs to which badge.
func (o *office) writeRoster(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	rows := [][]string{{"badge", "tag"}}
	for _, p := range o.people {
		if p.unit != 0 {
			rows = append(rows, []string{p.badge, p.tag(o.fleet)})
		}
	}
	if err := w.WriteAll(rows); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// close kills what still runs of the gateways.
func (t *town) close() {
	for _, o := range t.offices {
		if o.door != nil {
			_ = o.door.Close() // the demo is over
		}
	}
}

// load tells the database who works where and when, as the personnel office would with
// files.
func (t *town) load(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		all := new(pgx.Batch)
		// Taps of simulated readers count for nobody, but in a demo. And as these gateways have
		// begun to record just now, what was before excuses nobody here.
		all.Queue("update people.setting set simulated = true, counts_before = $1", -firstComes)
		for _, o := range t.offices {
			o.load(all, t.zone)
		}
		all.Queue("insert into people.rule (kind, from_s, percent, during) values ('late', 1, 0.5, '(,)'), ('late', 1860, 1, '(,)'), ('absent', 0, 3, '(,)')")
		if err := tx.SendBatch(ctx, all).Close(); err != nil {
			return err
		}
		hours := fmt.Sprintf(`{%q: "%s-23:59"}`, strings.ToLower(t.opens.Format("Mon")), t.opens.Format("15:04"))
		var problem *string
		if err := tx.QueryRow(ctx, "select people.load_hours('', '', $1::date, $2::jsonb)", t.opens.Format(time.DateOnly), hours).Scan(&problem); err != nil {
			return err
		}
		if problem != nil {
			return fmt.Errorf("load hours %s: %s", hours, *problem)
		}
		return nil
	})
}

// load queues what the database is told of an office.
func (o *office) load(all *pgx.Batch, zone *time.Location) {
	all.Queue("insert into presence.office (dinas, gateway, name, zone) values ($1, $2, $3, $4)", o.dinas, o.gateway, "office "+o.gateway, zone.String())
	for _, p := range o.people {
		all.Queue("insert into people.person (nip, name, dinas, office) values ($1, $2, $3, $4)", p.nip, p.name, o.dinas, o.gateway)
		all.Queue("insert into people.badge (gateway, badge, nip, during) values ($1, $2, $3, '(,)')", o.gateway, p.badge, p.nip)
		if p.unit != 0 {
			all.Queue("insert into people.tag (tag, nip, during) values ($1, $2, '(,)')", p.tag(o.fleet), p.nip)
		}
	}
}
