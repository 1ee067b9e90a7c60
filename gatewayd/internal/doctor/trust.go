package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"syscall"
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/uplink"
)

// setClock is the command for a clock that nobody disciplines.
const setClock = "sudo timedatectl set-ntp true && timedatectl timesync-status"

// distrust says why TLS is not come to: which of the two certificates is refused, and
// whether it is the certificate that is wrong or the clock by which it is judged.
func (e *exam) distrust(p uplink.Probe) {
	b := e.Config.MQTT.Broker.String()
	var (
		dates   x509.CertificateInvalidError
		foreign x509.UnknownAuthorityError
		name    x509.HostnameError
		plain   tls.RecordHeaderError
	)
	switch reason, refused := refusedBy(p.Err); {
	case refused:
		e.ownRefused(reason, p.Err)
	case errors.As(p.Err, &name):
		e.fail("broker", "", "sudoedit "+quote(e.Path), say(
			"the broker's certificate is for %[1]s, and mqtt.broker names %[2]s: write the name that the certificate has, or the city issues one for that name",
			"sertifikat broker untuk %[1]s, tetapi mqtt.broker menyebut %[2]s: tulis nama yang ada di sertifikat, atau kota menerbitkan yang baru untuk nama itu",
			names(name.Certificate), name.Host))
	case errors.As(p.Err, &dates) && dates.Reason == x509.Expired:
		e.brokerDates(dates.Cert)
	case errors.As(p.Err, &foreign):
		e.foreignBroker(foreign.Cert, p.Err)
	case errors.As(p.Err, &plain), errors.Is(p.Err, io.EOF), errors.Is(p.Err, syscall.ECONNRESET):
		e.fail("broker", "", "sudoedit "+quote(e.Path), say(
			"what listens at %s does not speak TLS: check the port in mqtt.broker (%v)",
			"yang menjawab di %s tidak memakai TLS: periksa porta di mqtt.broker (%v)", b, p.Err))
	default:
		e.fail("broker", "", e.tlsCommand(), say(
			"%s and this gateway do not trust each other: check ca_file, cert_file and the clock (%v)",
			"%s dan gateway ini tidak saling percaya: periksa ca_file, cert_file, dan jam (%v)", b, p.Err))
	}
}

// refusedBy returns the words of crypto/tls for the alert by which a broker refuses the
// gateway's certificate (RFC 8446, 6.2), and whether it is such an alert at all.
func refusedBy(err error) (reason string, refused bool) {
	_, reason, refused = strings.Cut(err.Error(), "remote error: tls: ")
	return reason, refused
}

// names are those for which a certificate is.
func names(cert *x509.Certificate) string {
	all := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "?"
	}
	return strings.Join(all, ", ")
}

// date is a date as the office has it.
func (e *exam) date(t time.Time) string { return language.Moment(t, e.Config.Gateway.Timezone) }

// brokerDates says whether the broker's certificate, or its authority's, is out of date,
// or this machine's clock wrong, by which it is. A clock that nobody disciplines proves
// nothing.
func (e *exam) brokerDates(cert *x509.Certificate) {
	now := e.Now()
	shows := now.WallTime()
	early := shows.Before(cert.NotBefore) && e.Passed.Before(cert.NotBefore)
	certain := now.Known() || e.Passed.After(cert.NotAfter)
	switch {
	case certain && cert.IsCA:
		e.fail("broker", "", e.tlsCommand(), say(
			"the authority in %s (%s) is valid from %s to %s only: the city has to give out a new ca.pem",
			"otoritas di %s (%s) hanya berlaku dari %s sampai %s: kota harus memberikan ca.pem yang baru",
			e.Config.MQTT.CAFile, cert.Subject.CommonName, e.date(cert.NotBefore), e.date(cert.NotAfter)))
	case !certain && early:
		e.fail("broker", "", setClock, say(
			"the clock is wrong, not the certificate: it shows %s and is not in sync, and the broker's certificate (%s) is valid from %s on; set the clock",
			"yang salah jamnya, bukan sertifikatnya: jam menunjukkan %s dan tidak sinkron, sedangkan sertifikat broker (%s) berlaku mulai %s; atur jam",
			e.date(shows), cert.Subject.CommonName, e.date(cert.NotBefore)))
	case !certain:
		e.fail("broker", "", setClock, say(
			"the clock shows %s and is not in sync, and by it the broker's certificate (%s) has ended at %s: set the clock first; if it has ended then too, the city has to renew it",
			"jam menunjukkan %s dan tidak sinkron, dan menurutnya sertifikat broker (%s) telah berakhir %s: atur jam dahulu; bila setelah itu tetap berakhir, kota harus memperbaruinya",
			e.date(shows), cert.Subject.CommonName, e.date(cert.NotAfter)))
	case early:
		e.fail("broker", "", mendBroker, say(
			"the broker's certificate (%s) is valid only from %s on, and this gateway's clock is in sync: the clock of who signed it was ahead; the city has to renew it",
			"sertifikat broker (%s) baru berlaku mulai %s, padahal jam gateway ini sinkron: jam penandatangannya terlalu cepat; kota harus memperbaruinya",
			cert.Subject.CommonName, e.date(cert.NotBefore)))
	default:
		e.fail("broker", "", mendBroker, say(
			"the broker's certificate (%s) has ended at %s: no gateway can connect until the city renews it",
			"sertifikat broker (%s) telah berakhir %s: tidak ada gateway yang dapat tersambung sampai kota memperbaruinya",
			cert.Subject.CommonName, e.date(cert.NotAfter)))
	}
}

// foreignBroker says by whom a certificate is that none of ca_file's authorities has
// issued. A proxy that looks into what it passes shows one of its own in place of the
// broker's.
func (e *exam) foreignBroker(cert *x509.Certificate, err error) {
	m := e.Config.MQTT
	by := issuer(cert)
	if m.Proxy != "" {
		e.fail("broker", "", e.tlsCommand(), say(
			"behind the proxy %[1]s somebody answers with a certificate of another authority (%[3]s): if the proxy opens TLS, whoever runs it has to exempt %[2]s; else check ca_file (%[4]v)",
			"di belakang proksi %[1]s ada yang menjawab dengan sertifikat dari otoritas lain (%[3]s): bila proksi membuka TLS, pengelolanya harus mengecualikan %[2]s; bila tidak, periksa ca_file (%[4]v)",
			m.Proxy, m.Broker.Address(), by, err))
		return
	}
	trusted := "-" // the system's own authorities
	if ca, err := e.certificate(m.CAFile); m.CAFile != "" && err == nil {
		trusted = ca.Subject.CommonName
	}
	e.fail("broker", "", e.tlsCommand(), say(
		"the broker's certificate is by an authority (%[1]s) that this gateway does not know; ca_file holds %[2]s: fetch the city's ca.pem, or check mqtt.broker",
		"sertifikat broker berasal dari otoritas (%[1]s) yang tidak dikenal gateway ini; ca_file berisi %[2]s: ambil ca.pem kota, atau periksa mqtt.broker",
		by, trusted))
}

// issuer is who issued a certificate.
func issuer(cert *x509.Certificate) string {
	if cert == nil || cert.Issuer.CommonName == "" {
		return "?"
	}
	return cert.Issuer.CommonName
}

// ownRefused says why the broker refuses the gateway's certificate. The broker judges its
// dates by its own clock, so that dates which are right here point at that one.
func (e *exam) ownRefused(reason string, err error) {
	m := e.Config.MQTT
	anew := "sudo gatewayd-provision request " + e.Config.Gateway.ID
	if !e.Board.HasTool("gatewayd-provision") {
		anew = e.tlsCommand()
	}
	own, unread := e.certificate(m.CertFile)
	if m.CertFile == "" || unread != nil {
		own = nil
	}
	now := e.Now()
	switch {
	case own == nil && reason == "certificate required":
		e.fail("broker", "", "sudoedit "+quote(e.Path), say(
			"the broker wants a certificate, and mqtt.cert_file names none: write cert_file and key_file",
			"broker meminta sertifikat, tetapi mqtt.cert_file tidak menyebutkannya: tulis cert_file dan key_file"))
	case own == nil:
		e.fail("broker", "", e.tlsCommand(), say(
			"the broker refuses this gateway's certificate (%v)", "broker menolak sertifikat gateway ini (%v)", err))
	case reason == "revoked certificate":
		e.fail("broker", "", anew, say(
			"the city has revoked this gateway's certificate (%s): ask why, and have a new one signed",
			"kota telah mencabut sertifikat gateway ini (%s): tanyakan alasannya, lalu minta yang baru", m.CertFile))
	case reason == "unknown certificate authority" || reason == "certificate required":
		e.fail("broker", "", anew, say(
			"the broker does not know the authority of this gateway's certificate (%s, issued by %s): have one signed by the broker's city",
			"broker tidak mengenal otoritas sertifikat gateway ini (%s, diterbitkan oleh %s): minta yang ditandatangani oleh kota pemilik broker", m.CertFile, issuer(own)))
	case reason == "expired certificate" && now.Known() && now.WallTime().Before(own.NotAfter):
		e.fail("broker", "", e.tlsCommand(), say(
			"the broker takes this gateway's certificate for expired, and it is valid until %s: the broker's clock is ahead; the city has to set it (timedatectl on the broker)",
			"broker menganggap sertifikat gateway ini berakhir, padahal berlaku sampai %s: jam broker terlalu cepat; kota harus mengaturnya (timedatectl di broker)", e.date(own.NotAfter)))
	case reason == "expired certificate":
		e.fail("broker", "", e.renewCommand(anew), say(
			"the broker refuses this gateway's certificate, which has ended at %s: renew it",
			"broker menolak sertifikat gateway ini, yang telah berakhir %s: perbarui", e.date(own.NotAfter)))
	case reason == "bad certificate" && now.Known() && now.WallTime().Before(own.NotBefore):
		e.fail("broker", "", anew, say(
			"the broker refuses this gateway's certificate, which is valid only from %s on: the clock of who signed it was ahead; wait until then, or have it signed anew",
			"broker menolak sertifikat gateway ini, yang baru berlaku mulai %s: jam penandatangannya terlalu cepat; tunggu sampai saat itu, atau minta tanda tangan baru", e.date(own.NotBefore)))
	default:
		e.fail("broker", "", e.tlsCommand(), say(
			"the broker refuses this gateway's certificate, which is valid from %s to %s: if it was signed just now, the broker's clock may be behind; the city has to look there (%v)",
			"broker menolak sertifikat gateway ini, yang berlaku dari %s sampai %s: bila baru saja ditandatangani, mungkin jam broker terlalu lambat; kota harus memeriksanya (%v)",
			e.date(own.NotBefore), e.date(own.NotAfter), err))
	}
}

// renewCommand renews the gateway's certificate where something can, and is otherwise the
// command that asks for a new one.
func (e *exam) renewCommand(anew string) string {
	if e.Board.Unit(renewUnit).Path == "" {
		return anew
	}
	if _, err := e.Board.File(renewConfig); err != nil {
		return anew
	}
	return "sudo systemctl start gatewayd-renew"
}
