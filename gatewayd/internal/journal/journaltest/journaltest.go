// Package journaltest changes the records of a journal that nobody holds, as somebody might
// who has got hold of the card: it knows the file as well as gatewayd does, and puts every
// checksum right.
//
// It exists so that tests of whole gateways can show who finds such changes out. It shares
// no code with package journal, whose checks it is to try.
package journaltest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/fxamacker/cbor/v2"
	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// payload is what a record holds behind its header (package journal, record.go).
type payload struct {
	presence.Draft
	Chain presence.Chain `cbor:"20,keyasint,omitzero"`
}

// The header of a record.
const (
	version  = 0xB1
	header   = 35
	pageSize = 4096
)

var table = crc32.MakeTable(crc32.Castagnoli)

// Edit passes all records of a journal in their order, and has the file hold what comes
// back. A record keeps its place by its position; one without a position is taken out.
func Edit(t testing.TB, path string, edit func(records []presence.Entry) []presence.Entry) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		var all []presence.Entry
		for _, name := range []string{"events", "tail"} {
			err := tx.Bucket([]byte(name)).ForEach(func(key, value []byte) error {
				e, err := unpack(key, value)
				all = append(all, e)
				return err
			})
			if err != nil {
				return err
			}
		}
		edited := make(map[uint64][]byte)
		for _, e := range edit(all) {
			if e.Pos == 0 {
				continue
			}
			record, err := pack(e)
			if err != nil {
				return err
			}
			edited[e.Pos] = record
		}
		return put(tx, edited)
	})
	if err != nil {
		t.Fatalf("edit %s: %v", path, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Read returns all records of a journal in their order.
func Read(t testing.TB, path string) (all []presence.Entry) {
	t.Helper()
	Edit(t, path, func(records []presence.Entry) []presence.Entry {
		all = records
		return records
	})
	return all
}

// put replaces the records. Those that are no longer there go.
func put(tx *bolt.Tx, edited map[uint64][]byte) error {
	for _, name := range []string{"events", "tail"} {
		bucket := tx.Bucket([]byte(name))
		var keys, values [][]byte
		err := bucket.ForEach(func(key, value []byte) error {
			keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
			return nil
		})
		if err != nil {
			return err
		}
		for i, key := range keys {
			record, stays := edited[binary.BigEndian.Uint64(key)]
			switch {
			case !stays:
				err = bucket.Delete(key)
			case !bytes.Equal(record, values[i]):
				err = bucket.Put(key, record)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func unpack(key, value []byte) (e presence.Entry, err error) {
	if len(key) != 8 || len(value) < header || value[0] != version {
		return e, fmt.Errorf("no record at %x", key)
	}
	var p payload
	if err := cbor.Unmarshal(value[header:], &p); err != nil {
		return e, fmt.Errorf("read record at %x: %w", key, err)
	}
	e.Pos = binary.BigEndian.Uint64(key)
	e.Stream, e.Seq = presence.ID(value[11:27]), binary.BigEndian.Uint64(value[27:])
	e.Draft, e.Chain = p.Draft, p.Chain
	return e, nil
}

func pack(e presence.Entry) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	body, err := mode.Marshal(payload{e.Draft, e.Chain})
	if err != nil {
		return nil, fmt.Errorf("write record %d: %w", e.Pos, err)
	}
	r := binary.BigEndian.AppendUint16([]byte{version}, uint16(len(body)))
	r = append(r, 0, 0, 0, 1, 0, 0, 0, 0) // the commit's number, and room for the checksum
	r = append(r, e.Stream[:]...)
	r = append(binary.BigEndian.AppendUint64(r, e.Seq), body...)
	sum := crc32.Checksum(binary.BigEndian.AppendUint64(nil, e.Pos), table)
	sum = crc32.Update(crc32.Update(sum, table, r[:7]), table, r[11:])
	binary.BigEndian.PutUint32(r[7:], sum)
	return r, nil
}
