package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/journal/boltfile"
)

// content is what is in a file: bucket -> keys and values in order, joined.
type content map[string][]string

// database makes a file with buckets of all kinds, and returns it and what is in it:
// a tree of three levels, an inline bucket, one with values of several pages, an empty
// one, and free pages. The list of free pages is written where listed says so.
func database(t *testing.T, listed bool) (file []byte, want content) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: boltfile.PageSize, NoSync: true, NoFreelistSync: !listed})
	if err != nil {
		t.Fatal(err)
	}
	want = content{"deep": nil, "inline": nil, "large": nil, "empty": nil}
	put := func(tx *bolt.Tx, bucket, key string, value []byte) error {
		b, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		want[bucket] = append(want[bucket], key+"="+string(value))
		return b.Put([]byte(key), value)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		var errs []error
		for i := range 3000 { // with keys so long that there are branches of branches
			key := fmt.Sprintf("%0200d", i)
			errs = append(errs, put(tx, "deep", key, []byte{byte(i)}))
		}
		for i := range 5 {
			errs = append(errs, put(tx, "inline", fmt.Sprint(i), []byte("small")))
			errs = append(errs, put(tx, "large", fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 10_000)))
		}
		_, err := tx.CreateBucket([]byte("empty"))
		errs = append(errs, err)
		gone, err := tx.CreateBucket([]byte("gone"))
		return errors.Join(append(errs, err, gone.Put([]byte("x"), make([]byte, 50_000)))...)
	})
	if err == nil {
		err = db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("gone")) })
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return file, want
}

// read reads everything in a file, and what can be read of a damaged one.
func read(file []byte) (content, error) {
	f, err := boltfile.Open(bytes.NewReader(file), int64(len(file)))
	if f == nil {
		return nil, err
	}
	buckets, errBuckets := f.Buckets()
	errs := []error{err, errBuckets}
	got := make(content)
	for _, name := range slices.Sorted(maps.Keys(buckets)) {
		got[name] = nil
		errs = append(errs, f.Each(buckets[name], func(e boltfile.Entry) error {
			got[name] = append(got[name], string(e.Key)+"="+string(e.Value))
			return nil
		}))
	}
	return got, errors.Join(append(errs, f.CheckPages())...)
}

func TestAllThatBboltWroteIsRead(t *testing.T) {
	for _, listed := range []bool{true, false} {
		t.Run(fmt.Sprintf("free pages listed %v", listed), func(t *testing.T) {
			file, want := database(t, listed)
			got, err := read(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			f, err := boltfile.Open(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			free, err := f.FreePages()
			if err != nil || f.HasFreelist() != listed || listed && len(free) < 12 {
				t.Errorf("%d free pages are listed: %v, %v", len(free), f.HasFreelist(), err)
			}
		})
	}
}

// TestLeavesAreWhereTheirKeysAre: each leaf holds the keys within its bounds, and no
// others, so that a few keys can be read without all the rest.
func TestLeavesAreWhereTheirKeysAre(t *testing.T) {
	file, want := database(t, true)
	f, err := boltfile.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	buckets, err := f.Buckets()
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := f.Leaves(buckets["deep"])
	if err != nil {
		t.Fatal(err)
	}
	if len(leaves) < 150 {
		t.Fatalf("there are only %d leaves", len(leaves))
	}
	n := 0
	for i, l := range leaves {
		if i > 0 && !bytes.Equal(l.Lower, leaves[i-1].Upper) {
			t.Fatalf("leaf %d does not begin where the one before it ends", i)
		}
		err := f.Entries(l, func(e boltfile.Entry) error {
			n++
			if bytes.Compare(e.Key, l.Lower) < 0 || l.Upper != nil && bytes.Compare(e.Key, l.Upper) >= 0 {
				return fmt.Errorf("key %s is outside", e.Key)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n != len(want["deep"]) {
		t.Errorf("the leaves hold %d entries of %d", n, len(want["deep"]))
	}
}

// TestDamageIsAnError: whatever is wrong with a page is said, in errors that wrap
// ErrDamaged, and never shows as a panic or as something that was not written. What
// no checksum covers, which is all but the meta pages, may read as something else.
func TestDamageIsAnError(t *testing.T) {
	file, want := database(t, true)
	rng := rand.New(rand.NewPCG(1, 2))
	pages := len(file) / boltfile.PageSize
	if root := int(binary.LittleEndian.Uint64(file[boltfile.PageHeaderSize+16:])); root >= pages {
		t.Fatalf("the root is page %d of %d", root, pages)
	}
	found := 0
	for range 500 {
		damaged := bytes.Clone(file)
		page := damaged[rng.IntN(pages)*boltfile.PageSize:][:boltfile.PageSize]
		switch rng.IntN(4) {
		case 0:
			clear(page)
		case 1: // another page's content
			copy(page, file[rng.IntN(pages)*boltfile.PageSize:][:boltfile.PageSize])
		case 2: // of the header, or the first few entries
			page[rng.IntN(64)] ^= 1 << rng.IntN(8)
		case 3:
			damaged = damaged[:rng.IntN(len(damaged))]
		}
		got, err := read(damaged)
		if err == nil {
			if len(got) > len(want) {
				t.Fatalf("there are buckets that nobody made: %v", slices.Collect(maps.Keys(got)))
			}
			continue
		}
		found++
		if !errors.Is(err, boltfile.ErrDamaged) {
			t.Fatalf("an error that is not one of damage: %v", err)
		}
		for at := 0; at+boltfile.PageSize <= len(damaged); at += boltfile.PageSize {
			boltfile.Scraps(damaged[at:][:boltfile.PageSize], func(boltfile.Entry) {})
		}
	}
	if found < 200 {
		t.Errorf("only %d of 500 damaged files were found to be damaged", found)
	}
}
