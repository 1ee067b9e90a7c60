package event_test

import (
	"testing"

	"presence/scripts/city/internal/event"
)

const tagEvent = `{"v":1,"id":"019ab2c3-0000-7000-8000-000000000001-17","gateway":"dinkes-01","dinas":"dinkes","stream":"019ab2c3-0000-7000-8000-000000000001","seq":17,"rev":0,"kind":"tag","boot":"4f0e6f9e-5f2f-4a51-8fdd-7fb4c9f3c9a1","time":"2026-11-29T08:15:30.123+07:00","time_quality":"synced","time_error_ms":12,"boot_ms":1234567,"receiver":"yard","tag":"mesh:1c2f13fc","lat":-7.9778,"lon":112.634,"accuracy_m":5,"fix_time":"2026-11-29T08:15:29.000+07:00","fix":"live","zone":"inside","rssi":-97,"snr":7.5}`

func BenchmarkDecodeTag(b *testing.B) {
	d, err := event.NewDecoder()
	if err != nil {
		b.Fatal(err)
	}
	m := event.Message{Topic: "presence/v1/dinkes/dinkes-01/event/tag", Payload: []byte(tagEvent)}
	b.SetBytes(int64(len(m.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		if events, refused := d.Decode(m); len(events) != 1 || len(refused) != 0 {
			b.Fatal(refused)
		}
	}
}
