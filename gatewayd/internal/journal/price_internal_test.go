package journal

import (
	"testing"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/presence/presencetest"
)

// TestARecordGrowsByItsChainAlone: by 37 bytes, whatever kind it is of.
func TestARecordGrowsByItsChainAlone(t *testing.T) {
	c := newCodec()
	for _, r := range presencetest.Records() {
		it, err := c.encode(r.Draft)
		if err != nil {
			t.Fatal(err)
		}
		plain := pack(nil, 7, r.Stream, r.Seq, 1, it.payload)
		linked := pack(nil, 7, r.Stream, r.Seq, 1, appendChained(nil, it.payload, presence.Chain{Link: presence.Link{1}, Before: presence.Link{2}, Offset: 420}))
		if len(linked)-len(plain) != 37 || len(linked) != it.size() {
			t.Errorf("%s: %d bytes, without a chain %d", r.Kind, len(linked), len(plain))
		}
	}
}
