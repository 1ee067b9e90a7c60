package health

import (
	"testing"
	"time"
)

func TestTrendGoesByTheLastDay(t *testing.T) {
	const mb = 1 << 20
	began := time.Now()
	var tr trend
	at := func(d time.Duration, value int64) *float64 { return tr.left(began.Add(d), value) }
	if at(0, 1000*mb) != nil || at(59*time.Minute, 900*mb) != nil {
		t.Error("told from less than an hour")
	}
	// 10 MB an hour.
	var days *float64
	for h := 1; h <= 48; h++ {
		days = at(time.Duration(h)*time.Hour, 1000*mb-int64(h)*10*mb)
	}
	if days == nil || *days < 2.1 || *days > 2.3 { // 520 MB at 240 MB a day
		t.Fatalf("%v days left", days)
	}
	if n := len(tr.seen); n > 26 {
		t.Errorf("remembers %d samples", n)
	}
	// Somebody makes room: nothing shrinks any more.
	if days := at(49*time.Hour, 5000*mb); days != nil {
		t.Errorf("%v days left after making room", *days)
	}
	// It fills up so slowly that it does not matter.
	tr = trend{}
	at(0, 1000*mb)
	if days := at(24*time.Hour, 1000*mb-1000); days != nil {
		t.Errorf("%v days left", *days)
	}
}
