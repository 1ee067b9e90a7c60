package journal

import (
	"time"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// aliveEvery is how long nothing may be written before a commit of its own says
// that the process runs. The clock's mark, which is written every half hour, is
// to take the place of each third.
const aliveEvery = 10*time.Minute + 10*time.Second

// Alive tells the journal that the process runs. Every commit notes that beside
// what it is for, so it makes one of its own only where there was none for ten
// minutes: 12 KiB. It is called every few seconds. The next start says when the
// process was last alive (presence.Start), which bounds from when on the gateway
// was off.
func (j *Journal) Alive() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if time.Since(j.wrote) >= aliveEvery && j.refusal() == nil {
		j.pulse = true
		j.wakeWriter()
	}
}

// Ended tells of a journal that no daemon holds when the process of the newest
// stream was last alive, and whether it ended on purpose; false where that
// cannot be read or only the first versions wrote.
func (r *Reader) Ended() (alive presence.Reading, clean, ok bool) {
	f, _ := boltfile.Open(r.file, r.size) // one good meta page will do
	if f == nil {
		return alive, false, false
	}
	buckets, err := f.Buckets()
	if err != nil {
		return alive, false, false
	}
	s := survey{codec: r.codec, problem: func(error) {}, state: func(s state) { alive = s.Alive }}
	for _, name := range []string{bucketMeta, bucketStreams} {
		b, there := buckets[name]
		if !there || s.bucket(f, name, b) != nil {
			return alive, false, false
		}
	}
	newest := streamInfo{}
	for _, info := range s.streams {
		if info.First > newest.First {
			newest = info
		}
	}
	return alive, newest.Clean, alive != presence.Reading{}
}
