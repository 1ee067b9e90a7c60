package config

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxSize is the largest configuration file that is read, in bytes.
const maxSize = 1 << 20

// Config is a valid configuration. The toml tags name the keys of the file; a test
// compares the reference file with them.
type Config struct {
	// Digest is the SHA-256 of the file, in hex.
	Digest string
	// FilesDigest is the SHA-256, in hex, of all files that the configuration
	// names, whether they are there and what they hold. Only Load and LoadToStart
	// set it.
	FilesDigest string

	Gateway   Gateway    `toml:"gateway"`
	Readers   []Reader   `toml:"reader"`
	Receivers []Receiver `toml:"receiver"`
	Feedback  Feedback   `toml:"feedback"`
	Badges    Badges     `toml:"badges"`
	Seal      Seal       `toml:"seal"`
	Tags      Tags       `toml:"tags"`
	Hours     Hours      `toml:"hours"`
	Office    *Office    `toml:"office"` // nil: no fence
	City      City       `toml:"city"`
	Clock     Clock      `toml:"clock"`
	Journal   Journal    `toml:"journal"`
	MQTT      MQTT       `toml:"mqtt"`
	Health    Health     `toml:"health"`
}

// Gateway says who this gateway is and where it keeps its state.
type Gateway struct {
	ID       string         `toml:"id"`
	Dinas    string         `toml:"dinas"`
	Place    string         `toml:"place"`   // in words, for people
	Contact  string         `toml:"contact"` // whom to call about the gateway
	Timezone *time.Location `toml:"timezone"`
	StateDir string         `toml:"state_dir"`
}

// SimBus is the bus of a reader whose chip is mocked.
const SimBus = "sim"

// Reader is one badge reader.
type Reader struct {
	Name     string        `toml:"name"`
	Chip     string        `toml:"chip"`     // one of Chips
	Bus      string        `toml:"bus"`      // a device path, or SimBus
	SpeedHz  int           `toml:"speed_hz"` // of the SPI clock
	Poll     time.Duration `toml:"poll"`
	ResetPin string        `toml:"reset_pin"` // "" where none is wired
	IRQPin   string        `toml:"irq_pin"`   // "" where none is wired
	GainDB   int           `toml:"gain_db"`   // 18, 23, 33, 38, 43 or 48; 0 for chips without it
}

// Receiver is one radio receiver of tags.
type Receiver struct {
	Name     string `toml:"name"`
	Protocol string `toml:"protocol"` // one of Protocols
	Payload  string `toml:"payload"`  // one of Payloads; "" for protocols that prescribe it
	Port     string `toml:"port"`     // a device path
	Baud     int    `toml:"baud"`
}

// Feedback names the pins of the lamp at the door, "" where none is wired.
type Feedback struct {
	Green  string `toml:"green"`
	Red    string `toml:"red"`
	Buzzer string `toml:"buzzer"`
	// Invert holds the keys above whose part is on while its pin is low.
	Invert []string `toml:"invert"`
}

// Badges says how taps and badge identities are made.
type Badges struct {
	RepeatWindow time.Duration `toml:"repeat_window"`
	KeyFile      string        `toml:"key_file"`
	PlainUID     bool          `toml:"plain_uid"`
	Require      string        `toml:"require"` // RequireUID or RequireAuthenticated
	// CAFile holds the authority of PIV badges. A gateway starts without it, too.
	CAFile string `toml:"ca_file"`
	// Key is the content of KeyFile. Only Load sets it; nil with PlainUID or
	// without a KeyFile.
	Key *[32]byte
}

// What badges.require asks of every badge.
const (
	RequireUID           = "uid"           // its number, unless the roster asks for more
	RequireAuthenticated = "authenticated" // that it proves who it is by a key
)

// Seal says with which key the gateway seals its journal. Load only reads the paths: a
// gateway starts with whatever is there, and without a usable key records unsealed.
type Seal struct {
	KeyFile  string `toml:"key_file"`  // Ed25519, PKCS#8 in PEM; "": seal.key beside mqtt.key_file, if there is one
	CertFile string `toml:"cert_file"` // the city's certificate of it; "" while there is none
}

// Tags says how often a tag is recorded and how much of its position.
type Tags struct {
	MinInterval time.Duration `toml:"min_interval"`
	MinMoveM    float64       `toml:"min_move_m"`
	Heartbeat   time.Duration `toml:"heartbeat"`
	Coordinates string        `toml:"coordinates"` // "full", "coarse" or "none"
	// RosterFile is a CSV file; only Check looks at it, since it may change or
	// be missing for a while.
	RosterFile string `toml:"roster_file"`
}

// City says which key the city signs with.
type City struct {
	KeyFile string `toml:"key_file"`
	// Key is the content of KeyFile: with it, what the city says counts only
	// signed. Only Load and ReadKey set it; nil without a KeyFile.
	Key ed25519.PublicKey
}

// Office is the fence: a circle, or the polygons of FenceFile.
type Office struct {
	Lat       float64 `toml:"lat"` // degrees, WGS 84
	Lon       float64 `toml:"lon"`
	RadiusM   float64 `toml:"radius_m"` // 0 with FenceFile
	FenceFile string  `toml:"fence_file"`
}

// Clock says where the time comes from.
type Clock struct {
	Source string `toml:"source"` // "kernel", "trust" or "sim"
}

// Journal says how much is kept on the disk.
type Journal struct {
	Keep           time.Duration `toml:"keep"`
	MaxMB          int           `toml:"max_mb"`
	CommitInterval time.Duration `toml:"commit_interval"`
}

// MQTT is the way to the city's broker.
type MQTT struct {
	Broker       Broker `toml:"broker"`
	Proxy        string `toml:"proxy"`   // host:port of the HTTP proxy before the broker, "" for none
	CAFile       string `toml:"ca_file"` // "": the system's certificates
	CertFile     string `toml:"cert_file"`
	KeyFile      string `toml:"key_file"`
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
	Insecure     bool   `toml:"insecure"`
	Receipts     bool   `toml:"receipts"`
	Window       int    `toml:"window"` // events in flight

	KeepAlive time.Duration `toml:"keepalive"` // of silence before the gateway asks whether the broker is there

	Batch     string        `toml:"batch"`      // "off" or "zstd": whether events that wait travel together
	BatchWait time.Duration `toml:"batch_wait"` // for so long a tag event may wait for company
	BatchMax  int           `toml:"batch_max"`  // events in a batch
}

// Health says how often the gateway publishes its health.
type Health struct {
	Interval      time.Duration `toml:"interval"`
	QuietInterval time.Duration `toml:"quiet_interval"` // while there is nothing new in it; 0: Interval
}

// Longest is for how long no health document comes at most.
func (h Health) Longest() time.Duration { return max(h.Interval, h.QuietInterval) }

// Simulated reports whether any reader runs over a mocked chip.
func (c *Config) Simulated() bool {
	for _, r := range c.Readers {
		if r.Bus == SimBus {
			return true
		}
	}
	return false
}

// Load reads and checks the configuration file and the files that it names.
// Relative paths in it are relative to its folder. The error is of type
// Problems.
func Load(path string) (*Config, error) {
	return load(path, func(d *document, c *Config) {
		d.checkFiles(c)
		d.checkFence(c)
	})
}

// LoadToStart is Load for a gateway that starts. There is nobody to correct a file
// then, so it does not check what a gateway can run without: the fence, where a wrong
// one is reported where it is used, and a certificate that the city has not issued yet.
// Its taps are recorded from the first day, and it connects when the certificate is
// there.
func LoadToStart(path string) (*Config, error) {
	return load(path, func(d *document, c *Config) {
		d.checkKeys(c)
		if !c.MQTT.awaitsCertificate() {
			d.checkOwnCertificate(c)
		}
	})
}

// Check is Load for a person at a desk: it also reports what a gateway could
// run without, such as a roster file that is not there, and what does not fit the
// machine that it is checked on.
func Check(path string) (*Config, error) {
	return load(path, func(d *document, c *Config) {
		d.checkFiles(c)
		d.checkFence(c)
		d.root.table("tags").read("roster_file", c.Tags.RosterFile)
		d.checkMachine(c)
	})
}

// LoadOnly is Load without a look at the files that the configuration names, so
// Badges.Key stays nil: for callers that may not read them.
func LoadOnly(path string) (*Config, error) { return load(path, func(*document, *Config) {}) }

func load(path string, check func(*document, *Config)) (*Config, error) {
	data, err := readLimited(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, unreadable(path, say("cannot find its folder: %v", err))
	}
	c, d := parse(path, dir, data)
	if c != nil {
		check(d, c)
	}
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	return c, nil
}

// Parse checks the content of a configuration file without looking at the
// files that it names, so Badges.Key stays nil. The name stands in the
// problems, and its folder is where relative paths begin. The error is of type
// Problems.
func Parse(name string, data []byte) (*Config, error) {
	c, d := parse(name, filepath.Dir(name), data)
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	return c, nil
}

// parse returns the configuration as far as it could be read, nil if it is no
// TOML, and the document, which holds the problems.
func parse(name, dir string, data []byte) (*Config, *document) {
	d := newDocument(name, dir, data)
	if len(d.problems) > 0 && d.root == nil {
		return nil, d
	}
	c := d.config()
	sum := sha256.Sum256(data)
	c.Digest = hex.EncodeToString(sum[:])
	d.reportUnknown(d.root)
	d.reportTOML()
	return c, d
}

// unreadable is the problem of a file that cannot be read at all.
func unreadable(path string, err error) Problems {
	said := say("%v", err)
	return Problems{{File: path, Text: said.en, ID: said.id}}
}

// readLimited reads a configuration file, but never more of it than maxSize
// and one byte, which is enough to know that it is too large.
func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, say("cannot be read: %v", withoutPath(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, say("cannot be read: %v", withoutPath(err))
	}
	return data, nil
}

// withoutPath takes the operation and the path off an error that is printed
// behind the path anyway.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
