package signed

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// Options is what a keeper needs.
type Options struct {
	Form Form
	Key  ed25519.PublicKey // the city's
	Path string            // where the document in force is kept

	// Judge reads a body. What it returns to keep goes to the disk instead of
	// the body, is what two documents are compared by, and is judged again at
	// the next start; use puts the body in force.
	Judge func(body []byte) (keep []byte, use func(), err error)
	Log   *slog.Logger
}

// State is how a keeper fares.
type State struct {
	Serial  uint64 // of the document in force; 0: there is none
	Refused int64  // documents since the start
	// Problem is why the last document was refused, or what is wrong with the
	// kept one; nil once a valid one came.
	Problem error
}

// Keeper keeps the newest document of one kind in force. Its methods may be
// called from any goroutine.
type Keeper struct {
	opt Options

	mu      sync.Mutex
	current *kept // nil: there is none
	refused int64
	problem error
}

// kept is a document on the disk. It has no signature: what was personal in the
// body is not kept as it was signed.
type kept struct {
	V   int    `json:"v"`
	Key string `json:"key"` // the SHA-256 of the key that signed it
	Document
	Body json.RawMessage `json:"body"`
}

// New makes a keeper and puts the kept document in force, if there is one.
func New(opt Options) *Keeper {
	k := &Keeper{opt: opt}
	doc, use, err := k.load()
	switch {
	case err != nil:
		k.problem = fmt.Errorf("the kept document cannot be used, publish it again: %w", err)
		opt.Log.Error("kept document cannot be used", "kind", opt.Form.Kind, "file", opt.Path, "error", err)
	case doc != nil:
		k.current = doc
		use()
		opt.Log.Info("kept document is in force", "kind", opt.Form.Kind, "serial", doc.Serial)
	}
	return k
}

// Receive takes what came on the document's topic. An empty message, which
// clears the topic at the broker, changes nothing.
func (k *Keeper) Receive(message []byte) {
	if len(message) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.receive(message)
	if err != nil {
		k.refused++
		if k.problem == nil || k.problem.Error() != err.Error() {
			k.opt.Log.Warn("document is refused, what was before stays in force", "kind", k.opt.Form.Kind, "error", err)
		}
	}
	k.problem = err
}

func (k *Keeper) receive(message []byte) error {
	d, err := Open(message, k.opt.Key, k.opt.Form)
	if err != nil {
		return err
	}
	if k.current != nil && d.Serial < k.current.Serial {
		return fmt.Errorf("has serial %d, older than %d, which is in force: sign it with a higher one", d.Serial, k.current.Serial)
	}
	keep, use, err := k.opt.Judge(d.Body)
	if err != nil {
		return err
	}
	next := &kept{V: 1, Key: k.keyName(), Document: d, Body: keep}
	if k.current != nil && d.Serial == k.current.Serial {
		if !bytes.Equal(keep, k.current.Body) {
			return fmt.Errorf("has serial %d, which is in force with another content: sign it with a higher one", d.Serial)
		}
		return nil // a retained message comes at each connection
	}
	// Not in force before it is durable: after a restart the serial must hold.
	if err := k.store(next); err != nil {
		return fmt.Errorf("cannot be kept: %w", err)
	}
	k.current = next
	use()
	k.opt.Log.Info("document is in force", "kind", d.Kind, "serial", d.Serial, "issued", d.Issued)
	return nil
}

// State is how the keeper fares.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := State{Refused: k.refused, Problem: k.problem}
	if k.current != nil {
		s.Serial = k.current.Serial
	}
	return s
}

// keyName names the key without repeating it.
func (k *Keeper) keyName() string {
	sum := sha256.Sum256(k.opt.Key)
	return hex.EncodeToString(sum[:])
}

// load reads the kept document. There is none for a new key or another gateway:
// then serials begin anew.
func (k *Keeper) load() (*kept, func(), error) {
	data, err := os.ReadFile(k.opt.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read: %w", err)
	}
	var doc kept
	if err := json.Unmarshal(data, &doc); err != nil || doc.V != 1 {
		return nil, nil, errors.New("it is damaged")
	}
	if doc.Key != k.keyName() || !k.opt.Form.addressed(doc.Document) {
		k.opt.Log.Warn("kept document is of another key or gateway, it is not used", "kind", k.opt.Form.Kind, "file", k.opt.Path)
		return nil, nil, nil
	}
	if err := k.opt.Form.check(doc.Document); err != nil {
		return nil, nil, err
	}
	keep, use, err := k.opt.Judge(doc.Body)
	if err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(keep, doc.Body) {
		// Judged otherwise than before: what may not be kept any more goes.
		doc.Body = keep
		if err := k.store(&doc); err != nil {
			return nil, nil, err
		}
	}
	return &doc, use, nil
}

// store writes a document durably: after a power cut the file is the old one or
// the new one.
func (k *Keeper) store(doc *kept) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	temporary := k.opt.Path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := os.Rename(temporary, k.opt.Path); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	dir, err := os.Open(filepath.Dir(k.opt.Path))
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
