package receipts_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"presence/scripts/city/internal/receipts"
)

// TestNoCorrectionIsLeftOutOfReceipts: while receipts of a stream wait they become one,
// which names all their corrections; those that are too many for one go with the next.
func TestNoCorrectionIsLeftOutOfReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := receipts.NewDesk(nil, func() {})
		ctx, cancel := context.WithCancel(t.Context())
		var sent [][]byte
		done, all := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			d.Run(ctx, func(_ string, payload []byte) <-chan struct{} {
				<-all // the broker does not read until then
				sent = append(sent, payload)
				return closed()
			})
		}()
		synctest.Wait()
		stream := uuid.New()
		seq := int64(0)
		for n := range 9 {
			r := receipts.Receipt{Dinas: "dinkes", Gateway: "dinkes-01", Stream: stream, Upto: int64(1000 + n)}
			for range 50 * n {
				seq++
				r.Revised = append(r.Revised, receipts.Revised{Seq: seq, Rev: 1})
			}
			d.Add(r)
			synctest.Wait()
		}
		close(all)
		synctest.Wait()
		cancel()
		<-done
		seen := make(map[int64]bool)
		var upto int64
		for _, payload := range sent {
			var r struct {
				Upto    int64
				Revised []receipts.Revised
			}
			if err := json.Unmarshal(payload, &r); err != nil || len(r.Revised) > 200 || len(payload) > 16<<10 {
				t.Fatalf("%v, %d corrections in %d bytes", err, len(r.Revised), len(payload))
			}
			upto = max(upto, r.Upto)
			for _, c := range r.Revised {
				seen[c.Seq] = true
			}
		}
		if len(seen) != int(seq) || upto != 1008 || len(sent) > 10 {
			t.Errorf("%d receipts up to %d name %d corrections of %d", len(sent), upto, len(seen), seq)
		}
	})
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
