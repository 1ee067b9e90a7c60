package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"presence/gatewayd/internal/durable"
)

const (
	// maxCertificates is how many certificates of badges are kept: those of a large
	// office twice over.
	maxCertificates = 2_000

	// maxCertificate is the longest certificate in bytes.
	maxCertificate = 4 << 10
)

// Certificates keeps certificates that cards have shown, so that each is read once: that
// takes a card some 100 ms. A certificate that lies here counts for nothing by itself: it is
// checked anew at each tap. Its methods may be called from any goroutine.
//
// Each lies in a file of its own, whose name is the badge's GUID and the SHA-256 of what is
// in it. A file that holds something else is damaged, and is as good as none.
type Certificates struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	byGUID map[uuid.UUID][]string // names of files, the newest last
	order  []uuid.UUID            // of their last use, the oldest first
}

// NewCertificates looks at what the folder holds.
func NewCertificates(dir string, log *slog.Logger) *Certificates {
	c := &Certificates{dir: dir, log: log, byGUID: make(map[uuid.UUID][]string)}
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("certificates of badges are read from the cards again", "error", err)
	}
	type aged struct {
		name string
		guid uuid.UUID
		info fs.FileInfo
	}
	var found []aged
	for _, f := range files {
		guid, ok := certificateOf(f.Name())
		info, err := f.Info()
		if !ok || err != nil || !f.Type().IsRegular() {
			continue
		}
		found = append(found, aged{f.Name(), guid, info})
	}
	slices.SortStableFunc(found, func(a, b aged) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, f := range found {
		c.byGUID[f.guid] = append(c.byGUID[f.guid], f.name)
		c.used(f.guid)
	}
	c.shrink()
	return c
}

// certificateName is the name of the file of a certificate.
func certificateName(guid uuid.UUID, der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(guid[:]) + "-" + hex.EncodeToString(sum[:]) + ".der"
}

// certificateOf is the GUID in the name of a file, false where it is none of ours.
func certificateOf(name string) (guid uuid.UUID, ok bool) {
	text, sum, ok := strings.Cut(strings.TrimSuffix(name, ".der"), "-")
	if !ok || len(text) != 32 || len(sum) != 64 || !strings.HasSuffix(name, ".der") {
		return guid, false
	}
	_, err := hex.Decode(guid[:], []byte(text))
	return guid, err == nil
}

// used notes that a badge's certificate was used. The caller holds the mutex, or is alone.
func (c *Certificates) used(guid uuid.UUID) {
	c.order = append(slices.DeleteFunc(c.order, func(g uuid.UUID) bool { return g == guid }), guid)
}

// of is the newest certificate of a badge that lies here undamaged, nil where there is
// none.
func (c *Certificates) of(guid uuid.UUID) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Backward(c.byGUID[guid]) {
		der, err := readSmall(filepath.Join(c.dir, name))
		if err == nil && certificateName(guid, der) == name {
			c.used(guid)
			return der
		}
		c.log.Warn("a certificate of a badge is damaged and is read from the card again", "error", err)
		c.remove(guid, name)
	}
	return nil
}

// readSmall reads a file that is not longer than a certificate.
func readSmall(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxCertificate {
		return nil, errors.New("it is no file of a certificate")
	}
	return os.ReadFile(path)
}

// keep keeps the certificate of a badge in place of an earlier one. Where that fails, it is
// read from the card again next time.
func (c *Certificates) keep(guid uuid.UUID, der []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := certificateName(guid, der)
	if slices.Contains(c.byGUID[guid], name) {
		return
	}
	err := os.MkdirAll(c.dir, 0o700)
	if err == nil {
		err = durable.WriteFile(filepath.Join(c.dir, name), der, 0o600)
	}
	if err != nil {
		c.log.Warn("a certificate of a badge cannot be kept", "error", fmt.Errorf("keep certificate: %w", err))
		return
	}
	for _, old := range slices.Clone(c.byGUID[guid]) {
		c.remove(guid, old)
	}
	c.byGUID[guid] = []string{name}
	c.used(guid)
	c.shrink()
}

// shrink removes the certificates that were not used for the longest, where there are too
// many.
func (c *Certificates) shrink() {
	for len(c.order) > maxCertificates {
		c.drop(c.order[0])
	}
}

// drop removes all certificates of a badge.
func (c *Certificates) drop(guid uuid.UUID) {
	for _, name := range slices.Clone(c.byGUID[guid]) {
		c.remove(guid, name)
	}
	delete(c.byGUID, guid)
	c.order = slices.DeleteFunc(c.order, func(g uuid.UUID) bool { return g == guid })
}

// remove removes one file.
func (c *Certificates) remove(guid uuid.UUID, name string) {
	c.byGUID[guid] = slices.DeleteFunc(c.byGUID[guid], func(n string) bool { return n == name })
	if err := os.Remove(filepath.Join(c.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("a certificate of a badge cannot be removed", "error", err)
	}
}

// forget removes the certificates of all badges that are, as somebody asks to have a
// person's records removed.
func (c *Certificates) forget(is func(guid []byte) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, guid := range slices.Clone(c.order) {
		if is(guid[:]) {
			c.drop(guid)
		}
	}
}
