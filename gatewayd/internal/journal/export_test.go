package journal

import (
	"errors"
	"os"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// Unchained is the options of a journal whose events get no links: the same code without
// what the chain costs.
func Unchained(o Options) Options {
	o.unchained = true
	return o
}

// CheckFile looks through a journal's file as Open does. It tells whether it would
// be left alone although it cannot be used.
func CheckFile(f *os.File) (closed bool, err error) {
	_, err = (&Journal{codec: newCodec()}).checkFile(f, true)
	return err != nil && !errors.Is(err, boltfile.ErrDamaged) && !errors.Is(err, errDamagedRecord), err
}

// LinkOf is the link of a stream's event, false where there is no record of it.
func (j *Journal) LinkOf(stream presence.ID, seq uint64) (presence.Link, bool) {
	return j.linkOf(stream, seq)
}
