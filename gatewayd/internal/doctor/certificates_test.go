package doctor_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/presence"
	"presence/scripts/brokertest"
)

// TestCertificates: the dates, and whose it is.
func TestCertificates(t *testing.T) {
	ca := brokertest.NewCA(t)
	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		cn    string
		left  time.Duration
		level doctor.Level
	}{
		"fresh":        {"dinkes-01", 60*day + time.Hour, ""},
		"30 days":      {"dinkes-01", 29*day + time.Hour, doctor.Warn},
		"7 days":       {"dinkes-01", 6*day + time.Hour, doctor.Warn},
		"1 day":        {"dinkes-01", 20 * time.Hour, doctor.Fail},
		"expired":      {"dinkes-01", -time.Hour, doctor.Fail},
		"another's":    {"dinkes-02", 60 * day, doctor.Fail},
		"no date here": {"dinkes-01", 60 * day, doctor.Warn},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, "tls://mqtt.example.go.id:8883")
			cert, _ := ca.Issue(tc.cn, time.Now().Add(tc.left))
			text, err := os.ReadFile(cert)
			if err != nil {
				t.Fatal(err)
			}
			o.write("etc/gatewayd/gw.pem", string(text))
			o.opt.Config.MQTT.CertFile = "/etc/gatewayd/gw.pem"
			o.renewing()
			want, mend := 1, "sudo systemctl start gatewayd-renew"
			if tc.cn != "dinkes-01" {
				mend = "sudo gatewayd-provision request dinkes-01"
			}
			switch {
			case tc.level == "":
				want = 0
			case name == "no date here":
				o.opt.Now = func() presence.Reading { return presence.Reading{} }
				// And the clock: whether there is anything to renew is unknown.
				want, mend = 2, "see: timedatectl"
			}
			got := o.unsound()
			if len(got) != want || want > 0 && (got[0].Code != "certificate" || got[0].Level != tc.level || !strings.HasPrefix(got[0].Mend+"see: "+got[0].Look, mend)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestDoctorSaysWhenNothingRenewsTheCertificate, and does not advise to start a service
// that would do nothing.
func TestDoctorSaysWhenNothingRenewsTheCertificate(t *testing.T) {
	ca := brokertest.NewCA(t)
	for name, tc := range map[string]struct {
		breaks func(*office)
		days   int
		want   string // codes and mends
	}{
		"it is renewed":       {func(*office) {}, 60, ""},
		"it is renewed, soon": {func(*office) {}, 10, "certificate sudo systemctl start gatewayd-renew;"},
		"no address":          {func(o *office) { o.remove("etc/gatewayd/renew.conf") }, 60, "renewal sudo gatewayd-provision renew-url https://...;"},
		"no address, soon":    {func(o *office) { o.remove("etc/gatewayd/renew.conf") }, 10, "renewal sudo gatewayd-provision renew-url https://...;certificate sudo gatewayd-provision renew-url https://...;"},
		"the timer is off":    {func(o *office) { o.remove("etc/systemd/system/timers.target.wants") }, 60, "renewal sudo systemctl enable --now gatewayd-renew.timer;"},
		"no package, so nobody asks": {func(o *office) {
			o.remove("etc/gatewayd/renew.conf")
			o.remove("usr/lib/systemd/system/gatewayd-renew.service")
		}, 60, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, "tls://mqtt.example.go.id:8883")
			cert, _ := ca.Issue("dinkes-01", time.Now().Add(time.Duration(tc.days)*24*time.Hour+time.Hour))
			text, err := os.ReadFile(cert)
			if err != nil {
				t.Fatal(err)
			}
			o.write("etc/gatewayd/gw.pem", string(text))
			o.opt.Config.MQTT.CertFile = "/etc/gatewayd/gw.pem"
			o.renewing()
			tc.breaks(o)
			got := ""
			for _, f := range o.unsound() {
				got += f.Code + " " + f.Mend + f.Look + ";"
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
