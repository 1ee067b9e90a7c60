package signed

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"presence/gatewayd/internal/durable"
)

// Options is what a keeper needs.
type Options struct {
	Form Form
	Key  ed25519.PublicKey // the city's
	Path string            // where the document in force is kept

	// Secret, if set, is the key under which the stored document is encrypted. It is
	// stored as it was signed, and what the city wrote into it may be personal: it must
	// not be readable from the disk alone.
	Secret *[32]byte

	// Parse reads the body of a document. It returns what two documents are compared
	// by, and a function that puts the document in force.
	Parse func(d Document) (content []byte, use func(), err error)
	Log   *slog.Logger
}

// State is the state of a keeper.
type State struct {
	Serial  uint64    // of the document in force; 0: there is none
	Issued  time.Time // when the city signed it, as it says; zero: there is none
	Refused int64     // documents since the start
	// Problem is why the last document was refused, or what is wrong with the
	// kept one; nil once a valid one came.
	Problem error
}

// Keeper keeps the newest document of one kind in force. Its methods may be
// called from any goroutine.
type Keeper struct {
	opt Options

	mu      sync.Mutex
	current *accepted // nil: there is none
	refused int64
	problem error
}

// accepted is a document that the city signed and that Parse could read.
type accepted struct {
	Document
	content []byte // see Options.Parse
	use     func()
}

// storedDocument is a document on the disk. It keeps its signature, which is checked
// again when it is read: others can write to the folder too.
type storedDocument struct {
	V        int             `json:"v"`                  // 2
	Key      string          `json:"key"`                // the SHA-256 of the key that signed it
	Envelope json.RawMessage `json:"envelope,omitempty"` // as it came
	Sealed   []byte          `json:"sealed,omitempty"`   // the same, under Options.Secret
}

// New makes a keeper and puts the kept document in force, if there is one that the
// city signed.
func New(opt Options) *Keeper {
	k := &Keeper{opt: opt}
	doc, err := k.load()
	switch {
	case err != nil:
		k.problem = fmt.Errorf("the kept document cannot be used, publish it again: %w", err)
		opt.Log.Error("kept document cannot be used, the configuration is in force until it comes again", "kind", opt.Form.Kind, "file", opt.Path, "error", err)
	case doc != nil:
		k.current = doc
		doc.use()
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
	next, err := k.open(message)
	if err != nil {
		return err
	}
	switch now := k.current; {
	case now == nil:
	case next.Serial < now.Serial:
		return fmt.Errorf("has serial %d, older than %d, which is in force: sign it with a higher one", next.Serial, now.Serial)
	case next.Serial == now.Serial && !bytes.Equal(next.content, now.content):
		return fmt.Errorf("has serial %d, which is in force with another content: sign it with a higher one", next.Serial)
	case next.Serial == now.Serial:
		return nil // a retained message comes at each connection
	}
	// Not in force before it is durable: after a restart the serial must hold.
	if err := k.store(message); err != nil {
		return fmt.Errorf("cannot be kept: %w", err)
	}
	k.current = next
	next.use()
	k.opt.Log.Info("document is in force", "kind", next.Kind, "serial", next.Serial, "issued", next.Issued)
	return nil
}

// open reads a message, checks its signature and parses its body.
func (k *Keeper) open(message []byte) (*accepted, error) {
	d, err := Open(message, k.opt.Key, k.opt.Form)
	if err != nil {
		return nil, err
	}
	content, use, err := k.opt.Parse(d)
	if err != nil {
		return nil, err
	}
	d.Body = nil // it may be personal
	return &accepted{d, content, use}, nil
}

// State returns the state of the keeper.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := State{Refused: k.refused, Problem: k.problem}
	if k.current != nil {
		s.Serial, s.Issued = k.current.Serial, k.current.Issued
	}
	return s
}

// Serial is that of the document in force, 0 if there is none. While a document is being
// received it waits until that is done.
func (k *Keeper) Serial() uint64 { return k.State().Serial }

// keyName names the key without repeating it.
func (k *Keeper) keyName() string {
	sum := sha256.Sum256(k.opt.Key)
	return hex.EncodeToString(sum[:])
}

// load reads the kept document and checks it as if it came from the broker. There
// is none for a new key or another gateway: then serials begin anew.
func (k *Keeper) load() (*accepted, error) {
	data, err := os.ReadFile(k.opt.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	var on storedDocument
	if err := json.Unmarshal(data, &on); err != nil {
		return nil, errors.New("it is damaged")
	}
	if on.Key != k.keyName() {
		k.opt.Log.Warn("kept document is of another key, it is not used", "kind", k.opt.Form.Kind, "file", k.opt.Path)
		return nil, nil
	}
	message := []byte(on.Envelope)
	switch {
	case on.V == 1:
		return nil, errors.New("it was kept without its signature, by an earlier version or by somebody else")
	case on.V != 2:
		return nil, errors.New("it is damaged")
	case len(on.Sealed) > 0 && k.opt.Secret == nil:
		return nil, errors.New("it is sealed, and the badge key is gone")
	case len(on.Sealed) > 0:
		if message, err = k.seal().Open(nil, nil, on.Sealed, k.sealContext()); err != nil {
			return nil, errors.New("it is sealed with another badge key, or was changed")
		}
	}
	doc, err := k.open(message)
	if errors.Is(err, errAddress) {
		k.opt.Log.Warn("kept document is of another gateway, it is not used", "kind", k.opt.Form.Kind, "file", k.opt.Path)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if (k.opt.Secret != nil) != (len(on.Sealed) > 0) {
		// Store it again as it is stored now: sealed, or readable.
		if err := k.store(message); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// seal is what seals a kept document. The cipher picks a random nonce for each.
func (k *Keeper) seal() cipher.AEAD {
	block, err := aes.NewCipher(k.opt.Secret[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the right block size
	}
	return aead
}

// sealContext is the additional data of a seal: it opens for this kind only.
func (k *Keeper) sealContext() []byte { return []byte("gatewayd kept " + k.opt.Form.Kind + " v2") }

// store keeps a message durably: after a power cut the file is the old one or the
// new one.
func (k *Keeper) store(message []byte) error {
	on := storedDocument{V: 2, Key: k.keyName()}
	if k.opt.Secret != nil {
		on.Sealed = k.seal().Seal(nil, nil, message, k.sealContext())
	} else {
		on.Envelope = message
	}
	data, err := json.Marshal(on)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := durable.WriteFile(k.opt.Path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
