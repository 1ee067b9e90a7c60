package outage

import "presence/gatewayd/internal/presence"

// LastAlive tells when the process of an earlier stream was last known to run, false
// where the records do not say. The zero stream is the one before the newest. The
// records come from tail, the newest first, until the function that it is given
// returns false.
//
// The start of a stream notes when the process before it was last alive. The first
// versions did not: then the last record of that process has to do.
func LastAlive(tail func(func(presence.Entry) bool) error, stream presence.ID) (alive presence.Reading, ok bool, err error) {
	isLast := false // the next older record is the last of the stream
	err = tail(func(e presence.Entry) bool {
		if isLast {
			alive, ok = e.At, true
			return false
		}
		if e.Start == nil || e.Start.Before() == nil ||
			stream != (presence.ID{}) && stream != e.Start.Before().Stream {
			return true
		}
		if e.Start.Alive != nil {
			alive, ok = *e.Start.Alive, true
			return false
		}
		isLast = true
		return true
	})
	return alive, ok, err
}
