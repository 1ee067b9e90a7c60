package city

import (
	"encoding/json"
	"time"
)

// maxSealRequest is how many bytes of a gateway's request are looked at: two certificate
// requests in PEM have about 1,000.
const maxSealRequest = 8 << 10

// SealRequest is the request of a gateway for a certificate of the key with which it seals
// its journal, in PEM, as it stands in its info: two certificate requests, the first of them
// signed with the key that it calls the broker with. It is "" where the gateway asks for
// none. Nothing of it is checked here: the broker could have put it there (ca.sh seal).
func (d *Desk) SealRequest(o Office) string {
	s, _ := d.where(o, time.Now())
	var info struct {
		Seal struct{ Request string }
	}
	if s == nil || json.Unmarshal(s.of(o, "info"), &info) != nil || len(info.Seal.Request) > maxSealRequest {
		return ""
	}
	return info.Seal.Request
}
