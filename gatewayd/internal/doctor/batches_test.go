package doctor_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// TestDoctorTriesTheTopicOfBatches at a real broker, where the gateway is to send some.
// That the broker does not pass them on is no failure, for events go one by one then.
func TestDoctorTriesTheTopicOfBatches(t *testing.T) {
	const own = "presence/v1/dinkes/dinkes-01/"
	acl := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(acl, []byte("topic readwrite "+own+"alert/#\ntopic write "+own+"event/+\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := brokertest.Start(t)
	denies := brokertest.Start(t, "allow_anonymous true", "acl_file "+acl)
	for name, tc := range map[string]struct {
		broker *brokertest.Broker
		batch  string
		level  doctor.Level // of what is said of batches; "": nothing is
	}{
		"passed on":           {open, "zstd", doctor.OK},
		"denied":              {denies, "zstd", doctor.Warn},
		"none are to be sent": {denies, "off", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, tc.broker.URL())
			o.opt.Config.MQTT.Batch = tc.batch
			line := uplink.Options{
				Origin:  presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC},
				Address: tc.broker.Address(), Log: slog.New(slog.DiscardHandler), Batch: tc.batch == "zstd",
			}
			o.opt.Try = func(ctx context.Context, reach bool) uplink.Probe { return uplink.Try(ctx, line, reach) }
			said := doctor.Level("")
			for _, f := range doctor.Examine(t.Context(), o.opt) {
				switch {
				case f.Code == "topics" && f.Item == uplink.BatchTopic:
					said = f.Level
					if !strings.Contains(f.EN, own+uplink.BatchTopic) || !strings.Contains(f.ID, own+uplink.BatchTopic) {
						t.Errorf("%q %q", f.EN, f.ID)
					}
				case f.Code == "topics" && f.Level != doctor.OK:
					t.Errorf("%+v", f)
				}
			}
			if said != tc.level {
				t.Errorf("of batches it says %q, want %q", said, tc.level)
			}
		})
	}
}
