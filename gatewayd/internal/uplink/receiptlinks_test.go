package uplink_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// TestLinksOfReceiptsAreCompared: what has the wrong form, or was not sent yet, is refused
// and compared with nothing; a receipt counts as far as the comparison says, and without
// receipts it is compared and counts for nothing.
func TestLinksOfReceiptsAreCompared(t *testing.T) {
	t.Parallel()
	const link = "00112233445566778899aabbccddeeff"
	linked := func(upto int, link string) []byte {
		return fmt.Appendf(nil, `{"stream":"%s","upto":%d,"link":%s}`, stream, upto, link)
	}
	for _, receipts := range []bool{true, false} {
		t.Run(fmt.Sprintf("receipts %v", receipts), func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			city := b.Subscribe(prefix + "event/#")
			j := newMemory(10)
			o := options(b.Address(), j)
			o.Receipts = receipts
			var mu sync.Mutex
			var heard []presence.Head
			o.Head = func(h presence.Head) (uint64, error) {
				mu.Lock()
				defer mu.Unlock()
				heard = append(heard, h)
				if h.Seq == 9 {
					return 9, errors.New("is not noted yet")
				}
				return min(h.Seq, 6), nil
			}
			u := uplink.New(o)
			run(t, u)
			city.Await("10 events", func(m []brokertest.Message) bool { return len(seqs(m)) >= 10 })
			refused := int64(0)
			for _, wrong := range [][]byte{
				linked(4, `""`), linked(4, "null"), linked(4, "7"), linked(4, `"`+link[1:]+`"`), linked(4, `"`+link+`0"`),
				linked(4, `"`+strings.ToUpper(link)+`"`), linked(4, `"`+strings.Repeat("0", 32)+`"`), linked(4, `"`+strings.Repeat("g", 32)+`"`),
				linked(11, `"`+link+`"`), linked(9, `"`+link+`"`),
			} {
				city.Publish(prefix+"receipt", false, wrong)
				refused++
				await(t, fmt.Sprintf("the refusal of %s", wrong), func() bool { return u.Stats().Refused == refused })
			}
			city.Publish(prefix+"receipt", false, linked(8, `"`+link+`"`))
			heads := func() []presence.Head {
				mu.Lock()
				defer mu.Unlock()
				return heard
			}
			await(t, "the comparison", func() bool { return len(heads()) >= 2 })
			if all := heads(); len(all) != 2 || all[0].Seq != 9 || all[1].Seq != 8 || all[1].Link.String() != link || all[1].Stream != stream {
				t.Errorf("compared: %v", all)
			}
			if receipts {
				await(t, "the cursor", func() bool { return j.Cursor() == 6 })
			} else {
				await(t, "the cursor of the PUBACKs", func() bool { return j.Cursor() == 10 })
			}
			if s := u.Stats(); s.Refused != refused || s.ReceivedReceipt != int64(map[bool]int{true: 6}[receipts]) {
				t.Errorf("%+v", s)
			}
			city.Publish(prefix+"receipt", false, receiptFor(stream, 10))
			if receipts {
				await(t, "the cursor", func() bool { return j.Cursor() == 10 })
			} else {
				await(t, "the refusal of a receipt that nobody asked for", func() bool { return u.Stats().Refused == refused+1 })
			}
		})
	}
}
