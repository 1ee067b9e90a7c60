package clock

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"presence/gatewayd/internal/presence"
)

// bookVersion is the version of the form on disk.
const bookVersion = 1

// maxBook bounds the encoded form: twice what a full book needs.
const maxBook = 64 << 10

// The form on disk (RFC 8949): arrays, since it is written often.
type (
	diskBook struct {
		_       struct{} `cbor:",toarray"`
		Version int
		Boots   []diskBoot
	}
	diskBoot struct {
		_       struct{} `cbor:",toarray"`
		ID      presence.ID
		Mark    time.Duration
		Anchors []diskAnchor
	}
	diskAnchor struct {
		_      struct{} `cbor:",toarray"`
		BT     time.Duration
		UTC    int64
		Err    time.Duration
		Source string
		Opens  bool
	}
)

// Encode is the book as it lies on disk.
func (b *Book) Encode() ([]byte, error) {
	d := diskBook{Version: bookVersion}
	for _, o := range b.boots {
		e := diskBoot{ID: o.id, Mark: o.mark}
		for _, a := range o.anchors {
			e.Anchors = append(e.Anchors, diskAnchor{BT: a.bt, UTC: a.utc, Err: a.err, Source: a.source, Opens: a.opens})
		}
		d.Boots = append(d.Boots, e)
	}
	data, err := cbor.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode clock book: %w", err)
	}
	return data, nil
}

// DecodeBook reads a book from disk. What makes no sense is an error: half of
// what was known could claim more than all of it.
func DecodeBook(data []byte) (*Book, error) {
	if len(data) > maxBook {
		return nil, fmt.Errorf("decode clock book: %d bytes are too many", len(data))
	}
	mode, err := cbor.DecOptions{MaxArrayElements: 256, MaxNestedLevels: 8, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("decode clock book: %w", err)
	}
	var d diskBook
	if err := mode.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("decode clock book: %w", err)
	}
	if d.Version != bookVersion {
		return nil, fmt.Errorf("decode clock book: version %d is unknown", d.Version)
	}
	if len(d.Boots) > maxBoots {
		return nil, fmt.Errorf("decode clock book: %d boots are too many", len(d.Boots))
	}
	b := &Book{}
	for k, o := range d.Boots {
		if b.find(o.ID) >= 0 || !plausible(o.Mark) {
			return nil, fmt.Errorf("decode clock book: boot %d makes no sense", k)
		}
		one, err := o.boot()
		if err != nil {
			return nil, fmt.Errorf("decode clock book: boot %d: %w", k, err)
		}
		b.boots = append(b.boots, one)
	}
	b.measure()
	return b, nil
}

var errAnchor = errors.New("its anchors make no sense")

func (o diskBoot) boot() (boot, error) {
	b := boot{id: o.ID, mark: o.Mark}
	if len(o.Anchors) > maxAnchors {
		return b, errAnchor
	}
	for _, a := range o.Anchors {
		if !plausible(a.BT) || a.BT > o.Mark || a.UTC < 0 || a.UTC > maxUTC || a.Err < 0 || a.Err > maxError || len(a.Source) > maxSourceName {
			return b, errAnchor
		}
		if !b.add(anchor{bt: a.BT, utc: a.UTC, err: a.Err, source: a.Source, opens: a.Opens}, maxAnchors) {
			return b, errAnchor
		}
	}
	return b, nil
}
