package journal

import (
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// keyOrigin is the key in meta under which a journal says whose events it holds. Files
// of earlier versions have none, and earlier versions pass over it.
const keyOrigin = "origin"

// onDiskOrigin is the form of a presence.Origin on disk.
type onDiskOrigin struct {
	Gateway string `cbor:"1,keyasint"`
	Dinas   string `cbor:"2,keyasint"`
	Zone    string `cbor:"3,keyasint,omitempty"` // of the IANA time zone database
}

// OtherError says that a journal holds the events of another gateway than the one that
// opens it. They must not go out under the name of that one.
type OtherError struct {
	Holds, Opens presence.Origin
}

// Error implements error.
func (e *OtherError) Error() string {
	return fmt.Sprintf("it holds the events of %s/%s, and this gateway is %s/%s",
		e.Holds.Dinas, e.Holds.Gateway, e.Opens.Dinas, e.Opens.Gateway)
}

// known reports whether it is known whose something is.
func known(o presence.Origin) bool { return o.Gateway != "" && o.Dinas != "" }

// checkOrigin returns an OtherError where a journal holds the events of one gateway and
// another one opens it. A journal of which that is not known belongs to whoever opens it.
func checkOrigin(holds, opens presence.Origin) error {
	if known(holds) && known(opens) && (holds.Gateway != opens.Gateway || holds.Dinas != opens.Dinas) {
		return &OtherError{Holds: holds, Opens: opens}
	}
	return nil
}

// putOrigin writes whose events the file holds.
func (c codec) putOrigin(meta *bolt.Bucket, o presence.Origin) error {
	if !known(o) {
		return nil
	}
	disk := onDiskOrigin{Gateway: o.Gateway, Dinas: o.Dinas}
	if o.Location != nil {
		disk.Zone = o.Location.String()
	}
	return c.putChecked(meta, []byte(keyOrigin), disk)
}

// readOrigin reads what putOrigin wrote; without a value it is the zero Origin. A time
// zone that this program does not know is left out.
func (c codec) readOrigin(value []byte) (presence.Origin, error) {
	if value == nil {
		return presence.Origin{}, nil
	}
	var disk onDiskOrigin
	if err := c.readChecked([]byte(keyOrigin), value, &disk); err != nil {
		return presence.Origin{}, err
	}
	o := presence.Origin{Gateway: disk.Gateway, Dinas: disk.Dinas}
	if zone, err := time.LoadLocation(disk.Zone); err == nil && disk.Zone != "" {
		o.Location = zone
	}
	return o, nil
}

// Origin is whose events a journal holds that no daemon holds. It is zero for a file of
// an earlier version, and where it cannot be read any more.
func (r *Reader) Origin() presence.Origin {
	f, _ := boltfile.Open(r.file, r.size) // one good meta page will do
	if f == nil {
		return presence.Origin{}
	}
	return originIn(f, r.codec)
}

// originIn reads whose events a file holds of which nothing is certain.
func originIn(f *boltfile.File, c codec) presence.Origin {
	s := survey{codec: c}
	if buckets, err := f.Buckets(); err == nil {
		if b, ok := buckets[bucketMeta]; ok {
			_ = s.bucket(f, bucketMeta, b)
		}
	}
	return s.origin
}

// OriginAt is whose events the journal at path holds, also while a daemon writes to it.
// It is zero where that cannot be told: there is no journal, it is not for this user to
// read, or it is of an earlier version.
func OriginAt(path string) presence.Origin {
	f, err := durable.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return presence.Origin{}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return presence.Origin{}
	}
	r := Reader{file: f, size: info.Size(), codec: newCodec()}
	return r.Origin()
}
