// Package settings reads the recorder's configuration file, and strictly so.
//
// It exists because a key with a spelling mistake is a setting that is not in force, and
// nobody notices. Whatever is wrong is said with file, line and key, and all at once.
package settings

import (
	_ "embed"
	"time"
)

//go:embed recorder.toml
var reference []byte

// Reference is the commented reference file: every key with its meaning, default and
// range. It is a valid configuration itself.
func Reference() []byte { return append([]byte(nil), reference...) }

// Settings is a configuration that is in order.
type Settings struct {
	Database Database
	Brokers  []Broker
	Receipts Receipts
	Events   Events
	Resync   Resync
	Watch    Watch
}

// Database is where events are stored.
type Database struct {
	Connection   string // as libpq is told, or a URL
	PasswordFile string // "": none
}

// Broker is a broker at which the recorder has a session.
type Broker struct {
	URL                       string
	ClientID                  string
	CAFile, CertFile, KeyFile string // "": the system's; no certificate
	Username, PasswordFile    string // "": none
}

// Receipts is what gateways are told.
type Receipts struct {
	Send    bool
	KeyFile string // Ed25519 private key in PEM; "": receipts are not signed
}

// Events is how events are stored.
type Events struct {
	Batch      int           // events in a transaction
	BatchWait  time.Duration // how long the first waits for the others
	QueueBytes int           // in memory
	TagDetails bool          // store all that tags' events say
}

// Resync is how missing events are asked for.
type Resync struct {
	After  time.Duration // since when they have been missing; 0: they are not asked for
	AtMost int           // gateways in a minute
}

// Watch is where the recorder says how it is.
type Watch struct {
	Listen string // host:port; "": nowhere
}
