package doctor_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/certificates"
	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
	"presence/scripts/brokertest"
)

// clockAt is a clock that shows a time, and is or is not in sync.
func clockAt(shows time.Time, synced bool) func() presence.Reading {
	state := presence.ClockUnsynced
	if synced {
		state = presence.ClockSynced
	}
	return func() presence.Reading {
		return presence.Reading{State: state, MaxError: time.Millisecond, Wall: shows.UnixNano()}
	}
}

// TestRejectedCertificatesAreToldFromAWrongClock goes to real brokers with certificates
// that are not valid yet, not any more, of another authority or for another name, while
// the clock is right, and while it is wrong and nobody disciplines it.
func TestRejectedCertificatesAreToldFromAWrongClock(t *testing.T) { //nolint:funlen // a table of cases
	const day = 24 * time.Hour
	now := time.Now()
	from, until := now.Add(-day), now.Add(70*day)
	ca, other := brokertest.NewCAFor(t, "test city", now.Add(1000*day)), brokertest.NewCAFor(t, "other city", now.Add(1000*day))
	old := brokertest.NewCAFor(t, "old city", now.Add(-time.Hour))
	listen := func(ca *brokertest.CA, name string, from, until time.Time) string {
		cert, key := ca.IssueFrom(name, from, until)
		return brokertest.Start(t, "cafile "+ca.File, "certfile "+cert, "keyfile "+key, "require_certificate true",
			"use_identity_as_username true", "allow_anonymous false").Address()
	}
	good := listen(ca, "broker", from, until)
	early, late := listen(ca, "early-broker", now.Add(day), until), listen(ca, "late-broker", now.Add(-2*day), now.Add(-day))
	foreign, outdated := listen(other, "broker", from, until), listen(old, "broker", from, until)
	plain := brokertest.Start(t).Address()
	in1970, in2040 := time.Unix(60, 0), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	_, port, _ := strings.Cut(good, ":")

	for name, tc := range map[string]struct {
		broker string
		now    func() presence.Reading
		passed time.Time
		own    func() (cert, key string) // nil: a good one
		ca     *brokertest.CA            // nil: the broker's
		en, id string
		mend   string
	}{
		"all well":        {broker: good},
		"a clock of 1970": {broker: good, now: clockAt(in1970, false), en: "the clock is wrong, not the certificate: it shows 1970-01-01 07:01:00 WIB", id: "yang salah jamnya", mend: "sudo timedatectl set-ntp true"},
		"a clock of 1970, but a version of today":    {broker: good, now: clockAt(in1970, false), passed: now},
		"a clock of 2040":                            {broker: good, now: clockAt(in2040, false), en: "set the clock first", id: "atur jam dahulu", mend: "sudo timedatectl set-ntp true"},
		"broker not valid yet":                       {broker: early, en: "the broker's certificate (early-broker) is valid only from", id: "jam penandatangannya terlalu cepat", mend: "ca.sh renew"},
		"broker expired":                             {broker: late, en: "no gateway can connect until the city renews it", id: "telah berakhir", mend: "ca.sh renew"},
		"broker expired, by a clock not in sync":     {broker: late, now: clockAt(now, false), en: "set the clock first", id: "atur jam dahulu", mend: "sudo timedatectl set-ntp true"},
		"broker expired before this version":         {broker: late, now: clockAt(in1970, false), passed: now, en: "has ended at", id: "telah berakhir", mend: "ca.sh renew"},
		"broker of another authority":                {broker: foreign, ca: ca, en: "by an authority (other city) that this gateway does not know; ca_file holds test city", id: "tidak dikenal", mend: "openssl s_client"},
		"an authority that has ended":                {broker: outdated, ca: old, en: "the authority in /etc/gatewayd/city-ca.pem (old city) is valid from", id: "kota harus memberikan ca.pem yang baru", mend: "openssl s_client"},
		"broker of another name":                     {broker: "localhost:" + port, en: "is for broker, 127.0.0.1, and mqtt.broker names localhost", id: "sertifikat broker untuk broker", mend: "sudoedit /etc/gatewayd/gatewayd.toml"},
		"no TLS there":                               {broker: plain, en: "does not speak TLS", id: "tidak memakai TLS", mend: "sudoedit /etc/gatewayd/gatewayd.toml"},
		"no certificate":                             {broker: good, own: func() (string, string) { return "", "" }, en: "mqtt.cert_file names none", id: "meminta sertifikat", mend: "sudoedit"},
		"expired":                                    {broker: good, own: func() (string, string) { return ca.Issue("dinkes-01", now.Add(-time.Hour)) }, en: "which has ended at", id: "telah berakhir", mend: "sudo systemctl start gatewayd-renew"},
		"expired by a broker's clock that is ahead":  {broker: good, now: clockAt(now.Add(-3*time.Hour), true), own: func() (string, string) { return ca.Issue("dinkes-01", now.Add(-time.Hour)) }, en: "the broker's clock is ahead", id: "jam broker terlalu cepat", mend: "openssl s_client"},
		"not valid yet":                              {broker: good, own: func() (string, string) { return ca.IssueFrom("dinkes-01", now.Add(day), until) }, en: "the clock of who signed it was ahead", id: "jam penandatangannya terlalu cepat", mend: "sudo gatewayd-provision request dinkes-01"},
		"not valid yet by a broker's clock behind":   {broker: good, now: clockAt(now.Add(2*day), true), own: func() (string, string) { return ca.IssueFrom("dinkes-01", now.Add(day), until) }, en: "the broker's clock may be behind", id: "mungkin jam broker terlalu lambat", mend: "openssl s_client"},
		"of another authority":                       {broker: good, own: func() (string, string) { return other.Issue("dinkes-01", until) }, en: "issued by other city", id: "diterbitkan oleh other city", mend: "sudo gatewayd-provision request dinkes-01"},
		"not valid yet at the broker, clock of 1970": {broker: early, now: clockAt(in1970, false), en: "the clock is wrong", id: "yang salah jamnya", mend: "sudo timedatectl set-ntp true"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, "tls://"+tc.broker)
			o.renewing()
			if tc.now != nil {
				o.opt.Now = tc.now
			}
			o.opt.Passed = tc.passed
			authority := ca
			if tc.ca != nil {
				authority = tc.ca
			}
			own := tc.own
			if own == nil {
				own = func() (string, string) { return ca.IssueFrom("dinkes-01", from, until) }
			}
			cert, key := own()
			line := uplink.Options{
				Origin: presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes", Location: time.UTC}, Address: tc.broker,
				Log: slog.New(slog.DiscardHandler), TLS: true, CAFile: authority.File, CertFile: cert, KeyFile: key,
				CertTime: func() time.Time { return certificates.Latest(o.opt.Now().WallTime(), o.opt.Passed) },
			}
			o.copyIn(authority.File, "/etc/gatewayd/city-ca.pem")
			o.opt.Config.MQTT.CAFile = "/etc/gatewayd/city-ca.pem"
			if cert != "" {
				o.copyIn(cert, "/var/lib/gatewayd/gateway.pem")
				o.opt.Config.MQTT.CertFile, o.opt.Config.MQTT.KeyFile = "/var/lib/gatewayd/gateway.pem", ""
			}
			o.opt.Try = func(ctx context.Context, reach bool) uplink.Probe { return uplink.Try(ctx, line, reach) }
			var got []doctor.Finding
			for _, f := range o.unsound() {
				if f.Code == "broker" {
					got = append(got, f)
				}
			}
			if tc.en == "" {
				if len(got) > 0 {
					t.Errorf("accused: %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Level != doctor.Fail || !strings.Contains(got[0].EN, tc.en) || !strings.Contains(got[0].ID, tc.id) ||
				!strings.HasPrefix(got[0].Mend+got[0].Look, tc.mend) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// copyIn puts a file of the test into the office.
func (o *office) copyIn(from, to string) {
	o.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		o.t.Fatal(err)
	}
	o.write(strings.TrimPrefix(to, "/"), string(text))
}
