package store

import (
	"database/sql"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"presence/scripts/city/internal/event"
)

// columns is a batch as presence.ingest takes it: an array for each column.
type columns struct {
	streams             []uuid.UUID
	seqs                []int64
	revs                []int32
	kinds, dinas        []string
	gateways, qualities []string
	ats, atMins, atMaxs []pgtype.Timestamptz
	errors              []pgtype.Float4
	badges, tags, zones []pgtype.Text
	lats, lons          []pgtype.Float8
	links               [][]byte
	mores               [][]byte
}

func eventColumns(events []event.Event) *columns {
	n := len(events)
	c := &columns{
		streams: make([]uuid.UUID, n), seqs: make([]int64, n), revs: make([]int32, n),
		kinds: make([]string, n), dinas: make([]string, n), gateways: make([]string, n), qualities: make([]string, n),
		ats: make([]pgtype.Timestamptz, n), atMins: make([]pgtype.Timestamptz, n), atMaxs: make([]pgtype.Timestamptz, n),
		errors: make([]pgtype.Float4, n),
		badges: make([]pgtype.Text, n), tags: make([]pgtype.Text, n), zones: make([]pgtype.Text, n),
		lats: make([]pgtype.Float8, n), lons: make([]pgtype.Float8, n),
		links: make([][]byte, n), mores: make([][]byte, n),
	}
	for i := range events {
		e := &events[i]
		c.streams[i], c.seqs[i], c.revs[i] = e.Stream, e.Seq, e.Rev
		c.kinds[i], c.dinas[i], c.gateways[i], c.qualities[i] = e.Kind, e.Dinas, e.Gateway, e.Quality
		c.ats[i], c.atMins[i], c.atMaxs[i] = timestamp(e.At), timestamp(e.AtMin), timestamp(e.AtMax)
		c.errors[i] = pgtype.Float4{Float32: e.ErrorMS.V, Valid: e.ErrorMS.Valid}
		c.badges[i], c.tags[i], c.zones[i] = maybe(e.Badge), maybe(e.Tag), maybe(e.Zone)
		c.lats[i] = pgtype.Float8{Float64: e.Lat.V, Valid: e.Lat.Valid}
		c.lons[i] = pgtype.Float8{Float64: e.Lon.V, Valid: e.Lon.Valid}
		c.links[i], c.mores[i] = e.Link, e.More
	}
	return c
}

func timestamp(t sql.Null[time.Time]) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t.V, Valid: t.Valid}
}

func maybe(s sql.Null[string]) pgtype.Text { return pgtype.Text{String: s.V, Valid: s.Valid} }

func refusalColumns(refused []event.Refusal) (topics, reasons []string, payloads [][]byte) {
	for _, r := range refused {
		topics = append(topics, r.Topic)
		reasons = append(reasons, r.Reason)
		payload := r.Payload
		if payload == nil {
			payload = []byte{} // nil would be null
		}
		payloads = append(payloads, payload)
	}
	return topics, reasons, payloads
}
