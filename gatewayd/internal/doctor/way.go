package doctor

import (
	"errors"
	"net"
	"net/http"
	"os"

	"presence/gatewayd/internal/uplink"
)

// onTheWay says what a proxy or a web server before the broker does not let through: the
// broker itself has not been reached then, and is not to blame.
func (e *exam) onTheWay(p uplink.Probe) {
	m := e.Config.MQTT
	status := 0
	var way *uplink.WayError
	if errors.As(p.Err, &way) {
		status = way.Status
	}
	through := "curl -sv -o /dev/null -x " + quote("http://"+m.Proxy) + " " + quote("https://"+m.Broker.Address())
	switch {
	case p.Failed == uplink.StepProxy:
		host, port, err := net.SplitHostPort(m.Proxy)
		if err != nil {
			host, port = m.Proxy, ""
		}
		e.fail("broker", "", "nc -vz -w 5 "+quote(host)+" "+port, say(
			"the proxy %s cannot be reached: check mqtt.proxy and the office's network (%v)",
			"proksi %s tidak dapat dihubungi: periksa mqtt.proxy dan jaringan kantor (%v)", m.Proxy, p.Err))
	case p.Failed == uplink.StepTunnel && status == http.StatusProxyAuthRequired:
		e.fail("broker", "", through, say(
			"the proxy %s wants a user name and a password (407), which gatewayd does not give: whoever runs it has to let this gateway through to %s by its address",
			"proksi %s meminta nama pengguna dan kata sandi (407), yang tidak diberikan gatewayd: pengelolanya harus meloloskan gateway ini ke %s menurut alamatnya", m.Proxy, m.Broker.Address()))
	case p.Failed == uplink.StepTunnel && status/100 == 5:
		e.fail("broker", "", through, say(
			"the proxy %[1]s answers, but cannot reach %[2]s (%[3]d): check mqtt.broker, and ask whoever runs the proxy",
			"proksi %[1]s menjawab, tetapi tidak dapat mencapai %[2]s (%[3]d): periksa mqtt.broker, dan tanyakan pengelola proksi", m.Proxy, m.Broker.Address(), status))
	case p.Failed == uplink.StepTunnel && status != 0:
		e.fail("broker", "", through, say(
			"the proxy %[1]s does not let this gateway through to %[2]s (%[3]d): whoever runs it has to allow CONNECT to it",
			"proksi %[1]s tidak meloloskan gateway ini ke %[2]s (%[3]d): pengelolanya harus mengizinkan CONNECT ke sana", m.Proxy, m.Broker.Address(), status))
	case p.Failed == uplink.StepTunnel:
		e.fail("broker", "", through, say(
			"%s is no HTTP proxy, or a broken one: check mqtt.proxy (%v)",
			"%s bukan proksi HTTP, atau rusak: periksa mqtt.proxy (%v)", m.Proxy, p.Err))
	case status == http.StatusNotFound:
		e.fail("broker", "", "sudoedit "+quote(e.Path), say(
			"a web server answers at %s, but has no broker at this path (404): check the path in mqtt.broker",
			"server web menjawab di %s, tetapi tidak ada broker di jalur ini (404): periksa jalur di mqtt.broker", m.Broker.String()))
	case status/100 == 5:
		e.fail("broker", "", e.webCommand(), say(
			"the web server at %s answers, but cannot reach its broker (%d): the city has to look there",
			"server web di %s menjawab, tetapi tidak dapat mencapai brokernya (%d): kota harus memeriksanya", m.Broker.String(), status))
	default:
		e.fail("broker", "", e.webCommand(), say(
			"what answers at %s takes no MQTT over WebSocket: check mqtt.broker (%v)",
			"yang menjawab di %s tidak menerima MQTT melalui WebSocket: periksa mqtt.broker (%v)", m.Broker.String(), p.Err))
	}
}

// notLetIn says why what listens at the broker's address answers CONNECT with something
// else than that the gateway is welcome.
func (e *exam) notLetIn(p uplink.Probe) {
	b := e.Config.MQTT.Broker
	if errors.Is(p.Err, uplink.ErrWebServer) {
		e.fail("broker", "", "sudoedit "+quote(e.Path), say(
			"at %s is a web server and no MQTT broker: for MQTT over WebSocket write broker = \"wss://host:port/path\"",
			"di %s ada server web, bukan broker MQTT: untuk MQTT melalui WebSocket tulis broker = \"wss://host:porta/jalur\"", b.String()))
		return
	}
	if errors.Is(p.Err, os.ErrDeadlineExceeded) {
		e.fail("broker", "", "sudoedit "+quote(e.Path), say(
			"%s takes the connection, but does not answer in MQTT: check host and port in mqtt.broker; a web server may be there",
			"%s menerima sambungan, tetapi tidak menjawab dalam MQTT: periksa host dan porta di mqtt.broker; mungkin server web ada di sana", b.String()))
		return
	}
	mend := "sudo gatewayd check"
	if file := e.Config.MQTT.PasswordFile; file != "" {
		mend = "sudoedit " + quote(file)
	}
	e.fail("broker", "", mend, say(
		"%s refuses this gateway: %v", "%s menolak gateway ini: %v", b.String(), p.Err))
}

// webCommand shows what a web server answers that should take WebSocket.
func (e *exam) webCommand() string {
	m := e.Config.MQTT
	scheme := "http://"
	if m.Broker.TLS {
		scheme = "https://"
	}
	c := "curl -sv -o /dev/null --max-time 10 --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==' -H 'Sec-WebSocket-Protocol: mqtt'"
	if m.Proxy != "" {
		c += " -p -x " + quote("http://"+m.Proxy)
	}
	if m.CAFile != "" {
		c += " --cacert " + quote(m.CAFile)
	}
	if m.CertFile != "" {
		c += " --cert " + quote(m.CertFile) + " --key " + quote(m.KeyFile)
	}
	return c + " " + quote(scheme+m.Broker.Address()+m.Broker.Path)
}
