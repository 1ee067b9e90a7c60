package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"presence/drivers/pi"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/uplink"
)

// secrets looks at who may read what only the gateway should.
func (e *exam) secrets() {
	m := e.Config.MQTT
	for _, s := range []struct{ code, path string }{
		{"badge-key", e.Config.Badges.KeyFile},
		{"key-file", m.KeyFile},
		{"password-file", m.PasswordFile},
		{"roster-file", e.Config.Tags.RosterFile},
	} {
		if s.path == "" {
			continue
		}
		f, err := e.Board.File(s.path)
		if errors.Is(err, fs.ErrPermission) && e.Self.UID != 0 {
			e.warn(s.code, s.path, asRoot, say("user %s may not see %s", "pengguna %s tidak boleh melihat %s", e.Self.Name, s.path))
			continue
		}
		if err != nil && len(e.Problems) > 0 {
			continue // said already
		}
		if err != nil {
			e.fail(s.code, s.path, "sudo ls -l "+quote(s.path), say("%s cannot be seen: %v", "%s tidak dapat dilihat: %v", s.path, err))
			continue
		}
		shared, known := e.Board.Group(userName)
		group := e.Board.GroupName(slices.Concat(e.account.Groups, []int{0})[0])
		// Technicians are in the gateway's group, to ask it how it is: secrets are
		// its user's alone.
		mend := fmt.Sprintf("sudo chown %s: %s && sudo chmod 600 %s", e.account.Name, quote(s.path), quote(s.path))
		if s.code == "roster-file" { // which others may have to write
			mend = fmt.Sprintf("sudo chown root:%s %s && sudo chmod 640 %s", group, quote(s.path), quote(s.path))
		}
		switch {
		case f.Mode&0o007 != 0:
			e.fail(s.code, s.path, mend, say(
				"everybody on this machine can read %s (mode %04o)",
				"siapa pun di mesin ini dapat membaca %s (mode %04o)", s.path, f.Mode))
		case !f.Allows(e.account, pi.Read):
			e.fail(s.code, s.path, mend, say(
				"user %s may not read %s (mode %04o)", "pengguna %s tidak boleh membaca %s (mode %04o)", e.account.Name, s.path, f.Mode))
		case s.code != "roster-file" && f.Mode&0o040 != 0 && known && f.GID == shared:
			e.warn(s.code, s.path, mend, say(
				"all members of the group %s can read %s (mode %04o)",
				"semua anggota grup %s dapat membaca %s (mode %04o)", userName, s.path, f.Mode))
		default:
			e.ok(s.code, s.path, say("only the gateway reads %s", "hanya gateway yang membaca %s", s.path))
		}
	}
}

// certificates looks at the gateway's certificate and its authority's.
func (e *exam) certificates() {
	m := e.Config.MQTT
	if !m.Broker.TLS {
		return
	}
	for _, path := range []string{m.CertFile, m.CAFile} {
		if path == "" {
			continue
		}
		show := "openssl x509 -noout -subject -dates -in " + quote(path)
		cert, err := e.certificate(path)
		if errors.Is(err, fs.ErrPermission) && e.Self.UID != 0 {
			e.warn("certificate", path, asRoot, say("user %s may not read %s", "pengguna %s tidak boleh membaca %s", e.Self.Name, path))
			continue
		}
		if err != nil && len(e.Problems) > 0 {
			continue // said already
		}
		if err != nil {
			e.fail("certificate", path, show, say("%s holds no certificate: %v", "%s tidak memuat sertifikat: %v", path, err))
			continue
		}
		if id := e.Config.Gateway.ID; path == m.CertFile && cert.Subject.CommonName != id {
			mend := show
			if e.Board.HasTool("gatewayd-provision") {
				mend = "sudo gatewayd-provision request " + id
			}
			e.fail("certificate", path, mend, say(
				"%s is for %q, but gateway.id is %q: the broker would take it for another gateway",
				"%s untuk %q, tetapi gateway.id adalah %q: broker akan menganggapnya gateway lain", path, cert.Subject.CommonName, id))
			continue
		}
		mend := show
		if path == m.CertFile {
			mend = e.renewal(cert, show)
		}
		e.expiry(path, cert, mend)
	}
}

// renewal says when nothing will renew the gateway's certificate, and returns the
// command that renews it. The timer and its service are the package's: without them,
// or without an address, starting the service does nothing.
func (e *exam) renewal(cert *x509.Certificate, show string) (mend string) {
	if e.Board.Unit(renewUnit).Path == "" {
		return show
	}
	end := language.Moment(cert.NotAfter, e.Config.Gateway.Timezone)
	if _, err := e.Board.File(renewConfig); errors.Is(err, fs.ErrNotExist) {
		mend = "sudo gatewayd-provision renew-url https://..."
		e.warn("renewal", "", mend, say(
			"nothing renews the certificate, which ends at %s: name where the city puts renewed ones, or fetch the stick",
			"tidak ada yang memperbarui sertifikat, yang berakhir %s: sebutkan tempat kota menaruh yang baru, atau ambil stik", end))
		return mend
	}
	if _, err := e.Board.File("/etc/systemd/system/timers.target.wants/gatewayd-renew.timer"); errors.Is(err, fs.ErrNotExist) {
		e.warn("renewal", "", "sudo systemctl enable --now gatewayd-renew.timer", say(
			"nothing asks for a renewed certificate (this one ends at %s): gatewayd-renew.timer is switched off",
			"tidak ada yang menanyakan sertifikat baru (yang ini berakhir %s): gatewayd-renew.timer tidak aktif", end))
	}
	return "sudo systemctl start gatewayd-renew"
}

// renewUnit is the package's service that renews the certificate, and renewConfig names
// where the city puts renewed ones.
const (
	renewUnit   = "gatewayd-renew.service"
	renewConfig = "/etc/gatewayd/renew.conf"
)

func (e *exam) certificate(path string) (*x509.Certificate, error) {
	text, err := e.Board.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all, err := uplink.ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// expiry looks at a certificate's dates.
func (e *exam) expiry(path string, cert *x509.Certificate, mend string) {
	end := language.Moment(cert.NotAfter, e.Config.Gateway.Timezone)
	now := e.Now()
	if !now.Known() { // a renewed one is judged by the same clock
		e.warn("certificate", path, "timedatectl", say(
			"%s ends at %s; whether that is past is unknown without the time",
			"%s berakhir %s; tanpa waktu tidak diketahui apakah sudah lewat", path, end))
		return
	}
	left := cert.NotAfter.Sub(now.WallTime())
	days := int(left.Hours() / 24)
	switch {
	case now.WallTime().Before(cert.NotBefore):
		e.fail("certificate", path, "timedatectl", say(
			"%s is valid only from %s on, and the clock is reported in sync: the clock of who signed it was ahead; wait, or have it signed anew",
			"%s baru berlaku mulai %s, padahal jam dilaporkan sinkron: jam penandatangannya terlalu cepat; tunggu, atau minta tanda tangan baru",
			path, language.Moment(cert.NotBefore, e.Config.Gateway.Timezone)))
	case left <= 0:
		e.fail("certificate", path, mend, say(
			"%s has ended at %s: renew it, the broker refuses it", "%s telah berakhir %s: perbarui, broker menolaknya", path, end))
	case days < 1:
		e.fail("certificate", path, mend, say(
			"%s ends within a day, at %s: renew it now", "%s berakhir dalam sehari, %s: perbarui sekarang", path, end))
	case days < 30:
		e.warn("certificate", path, mend, say(
			"%s ends in %d days: renew it", "%s berakhir dalam %d hari: perbarui", path, days))
	default:
		e.ok("certificate", path, say("%s is valid for %d days", "%s berlaku %d hari lagi", path, days))
	}
}

// broker goes to the broker and back.
func (e *exam) broker(ctx context.Context) {
	b := e.Config.MQTT.Broker
	if h := e.Health; h != nil && h.MQTT.Connected {
		e.ok("broker", "", say("the gateway is connected to %s", "gateway tersambung ke %s", b.String()))
		e.runningTopics(h)
		e.receipts(h)
		for _, a := range h.AlertTexts {
			if a.Code == "broker-certificate" {
				e.warn("broker-certificate", "", mendBroker, language.Text{EN: a.EN, ID: a.ID})
			}
		}
		return
	}
	p := e.Try(ctx, e.Health != nil || e.Unasked || e.Silent)
	prefix := fmt.Sprintf("presence/v1/%s/%s/", e.Config.Gateway.Dinas, e.Config.Gateway.ID)
	host := quote(b.Host)
	e.brokerCertificate(p.Certificate)
	switch p.Failed {
	case "":
		if e.Health != nil {
			mend := "gatewayd status"
			if strings.Contains(e.Health.MQTT.LastError, "ACL") {
				mend = mendACL
			}
			if strings.Contains(e.Health.MQTT.LastError, "of this size") {
				mend = "gatewayd status" // it finds out which of the two it is
			}
			e.fail("broker", "", mend, say(
				"%s can be reached, but the gateway is not connected: %s",
				"%s dapat dihubungi, tetapi gateway tidak tersambung: %s", b.String(), e.Health.MQTT.LastError))
			return
		}
		if e.Unasked || e.Silent {
			e.ok("broker", "", say("%s can be reached", "%s dapat dihubungi", b.String()))
			return
		}
		e.ok("broker", "", say("%s answers, a message went there and back in %s", "%s menjawab, pesan pergi dan kembali dalam %s", b.String(), p.Took.Round(time.Millisecond).String()))
		e.topics(p, prefix)
	case uplink.StepFiles:
		e.fail("broker", "", "sudo gatewayd check", say("%v", "%v", p.Err))
	case uplink.StepResolve:
		e.fail("broker", "", "getent hosts "+host, say(
			"the name %s is not found: check the network and its DNS (%v)",
			"nama %s tidak ditemukan: periksa jaringan dan DNS (%v)", b.Host, p.Err))
	case uplink.StepProxy, uplink.StepTunnel, uplink.StepUpgrade:
		e.onTheWay(p)
	case uplink.StepTCP:
		e.fail("broker", "", fmt.Sprintf("nc -vz -w 5 %s %d", host, b.Port), say(
			"%s does not answer: check the network, the firewall and the broker (%v)",
			"%s tidak menjawab: periksa jaringan, firewall, dan broker (%v)", b.String(), p.Err))
	case uplink.StepTLS:
		e.distrust(p)
	case uplink.StepConnect:
		e.notLetIn(p)
	case uplink.StepSubscribe:
		e.fail("broker", "", "gatewayd doctor", say(
			"%s lets the gateway in, but not subscribe: %v", "%s menerima gateway, tetapi tidak untuk berlangganan: %v", b.String(), p.Err))
	case uplink.StepSize:
		e.ok("broker", "", say("%s answers and lets the gateway in", "%s menjawab dan menerima gateway", b.String()))
		e.fail("topics", "", mendSize, say(
			"the broker hangs up %v: health documents and alerts do not get through; raise its limit (max_packet_size in mosquitto) to 64 KB; on the broker",
			"broker memutus sambungan %v: dokumen health dan alert tidak sampai; naikkan batasnya (max_packet_size pada mosquitto) menjadi 64 KB; di broker", p.Err))
	case uplink.StepPublish, uplink.StepEcho:
		e.ok("broker", "", say("%s answers and lets the gateway in", "%s menjawab dan menerima gateway", b.String()))
		e.fail("topics", "", mendACL, say(
			"what is published on %salert/doctor does not come back: the broker's ACL does not let this gateway write or read its own topics; on the broker (scripts/city/gatewayd.acl)",
			"yang dikirim ke %salert/doctor tidak kembali: ACL broker tidak mengizinkan gateway ini menulis atau membaca topiknya; di broker (scripts/city/gatewayd.acl)", prefix))
	}
}

// receipts says whether the city confirms what it has, where the gateway waits for that:
// without anybody who does, the gateway keeps every event until it has no room for taps.
func (e *exam) receipts(h *presence.Health) {
	if !h.MQTT.Receipts {
		return
	}
	for _, a := range h.AlertTexts {
		if a.Code == "delivery-late" {
			e.warn("receipts", "", mendRecorder, language.Text{EN: a.EN, ID: a.ID})
			return
		}
	}
	e.ok("receipts", "", say("the city has confirmed all events but the latest %d", "kota sudah mengonfirmasi semua data kecuali %d yang terbaru", h.Journal.Pending))
}

// mendRecorder starts what stores and confirms events, where the city has it.
const mendRecorder = "sudo systemctl restart gatewayd-recorder"

// brokerCertificate says if the broker's certificate ends soon: every gateway loses
// its line then. Dates tell nothing without the time.
func (e *exam) brokerCertificate(cert *x509.Certificate) {
	now := e.Now()
	if cert == nil || !now.Known() {
		return
	}
	if days := int(cert.NotAfter.Sub(now.WallTime()).Hours() / 24); days < 60 {
		end := language.Moment(cert.NotAfter, e.Config.Gateway.Timezone)
		e.warn("broker-certificate", "", mendBroker, say(
			"the broker's certificate (%s) ends in %d days, at %s: the city has to renew it, or no gateway can connect",
			"sertifikat broker (%s) berakhir dalam %d hari, %s: kota harus memperbaruinya, atau tidak ada gateway yang dapat tersambung",
			cert.Subject.CommonName, days, end))
	}
}

// mendBroker renews the broker's certificate, where the city's authority is.
const mendBroker = "ca.sh renew"

// mendACL puts the ACL that comes with gatewayd (scripts/city) in place, on the
// broker.
const mendACL = "sudo cp gatewayd.acl /etc/mosquitto/gatewayd/ && sudo systemctl reload mosquitto"

// mendSize finds the limit of packets in a broker's configuration, on the broker.
const mendSize = "sudo grep -rn -e max_packet_size -e message_size_limit /etc/mosquitto"

func (e *exam) tlsCommand() string {
	m := e.Config.MQTT
	c := "openssl s_client -connect " + quote(m.Broker.Address())
	if m.Proxy != "" {
		c += " -proxy " + quote(m.Proxy)
	}
	if m.CAFile != "" {
		c += " -CAfile " + quote(m.CAFile)
	}
	if m.CertFile != "" {
		c += " -cert " + quote(m.CertFile) + " -key " + quote(m.KeyFile)
	}
	return c + " </dev/null"
}

// topics says what a probe found out of the topics.
func (e *exam) topics(p uplink.Probe, prefix string) {
	switch {
	case len(p.Denied) > 0 && slices.Contains(p.Denied, "alert/+"):
		e.fail("topics", "", mendACL, say(
			"the broker does not let this gateway read %s below %s; whether it may write is unknown, for a broker drops in silence; on the broker (scripts/city/gatewayd.acl)",
			"broker tidak mengizinkan gateway ini membaca %s di bawah %s; apakah boleh menulis tidak diketahui, karena broker membuang diam-diam; di broker (scripts/city/gatewayd.acl)", strings.Join(p.Denied, ", "), prefix))
	case len(p.Denied) > 0:
		e.fail("topics", "", mendACL, say(
			"the broker does not let this gateway read %s below %s; on the broker (scripts/city/gatewayd.acl)",
			"broker tidak mengizinkan gateway ini membaca %s di bawah %s; di broker (scripts/city/gatewayd.acl)", strings.Join(p.Denied, ", "), prefix))
	default:
		e.ok("topics", "", say(
			"the gateway may write and read below %s (tried with alert/doctor; events cannot be tried without sending one)",
			"gateway boleh menulis dan membaca di bawah %s (dicoba dengan alert/doctor; data tidak dapat dicoba tanpa mengirimnya)", prefix))
	}
	e.batches(p, prefix)
}

// batches says whether the broker passes on batches, where the gateway sends some. Where it
// does not, nothing is lost.
func (e *exam) batches(p uplink.Probe, prefix string) {
	switch {
	case e.Config.MQTT.Batch != "zstd", slices.Contains(p.Denied, "alert/+"):
	case p.Batches != nil:
		e.warn("topics", uplink.BatchTopic, mendACL, say(
			"the broker does not pass on %s%s (%v): events go one by one and take far more of the line; on the broker (scripts/city/gatewayd.acl)",
			"broker tidak meneruskan %s%s (%v): data dikirim satu per satu dan memakai kuota jauh lebih banyak; di broker (scripts/city/gatewayd.acl)", prefix, uplink.BatchTopic, p.Batches))
	default:
		e.ok("topics", uplink.BatchTopic, say(
			"the broker passes on %s%s (tried with a batch of no events)",
			"broker meneruskan %s%s (dicoba dengan kiriman gabungan tanpa data)", prefix, uplink.BatchTopic))
	}
}

// runningTopics says what the running gateway found out of the topics.
func (e *exam) runningTopics(h *presence.Health) {
	refused := false
	for _, a := range h.AlertTexts {
		switch a.Code {
		case "topics-denied":
			if slices.Contains(a.About, uplink.BatchTopic) { // without it events go one by one
				e.warn("topics", uplink.BatchTopic, mendACL, language.Text{EN: a.EN, ID: a.ID})
				return
			}
			e.fail("topics", "", mendACL, language.Text{EN: a.EN, ID: a.ID})
			return
		case "document-refused", "event-refused":
			e.fail("topics", "", mendSize, language.Text{EN: a.EN, ID: a.ID})
			refused = true
		}
	}
	if refused {
		return
	}
	e.ok("topics", "", say("the broker denies the gateway none of its topics", "broker tidak menolak topik gateway"))
}
