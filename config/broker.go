package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Broker is the address of the city's MQTT broker.
type Broker struct {
	TLS  bool
	Host string // a name or an IP address, IPv6 without brackets
	Port int
}

// Address is host:port, as net.Dial takes it.
func (b Broker) Address() string { return net.JoinHostPort(b.Host, strconv.Itoa(b.Port)) }

// String is the address as a URL, tls:// or tcp://.
func (b Broker) String() string {
	if b.TLS {
		return "tls://" + b.Address()
	}
	return "tcp://" + b.Address()
}

// Loopback reports whether the broker is on this machine.
func (b Broker) Loopback() bool {
	if strings.EqualFold(b.Host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(b.Host)
	return err == nil && ip.Unmap().IsLoopback()
}

// parseBroker reads a broker's URL, or says what is wrong with it. It never
// repeats more than the scheme: people put passwords into URLs.
func parseBroker(s string) (b Broker, wrong string) {
	const usual = `such as "tls://mqtt.example.go.id:8883"`
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return b, "has no scheme: write tls://host:port, " + usual
	}
	b.Port = 1883
	switch strings.ToLower(scheme) {
	case "tcp":
	case "tls":
		b.TLS, b.Port = true, 8883
	case "mqtts", "ssl", "tcps":
		return b, "has the scheme " + show(scheme) + ": write tls:// instead"
	case "mqtt":
		return b, "has the scheme " + show(scheme) + ": write tls:// (or tcp:// for a broker on this machine)"
	default:
		return b, "has the scheme " + show(scheme) + ": only tls:// and tcp:// are possible"
	}
	if strings.Contains(rest, "@") {
		return b, "holds a user name: write it under username, and the password into password_file"
	}
	if strings.ContainsAny(rest, "/?# ") {
		return b, "has something behind host and port: write no more than those, " + usual
	}
	host := rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
		host = rest[:i]
		port, err := strconv.ParseUint(rest[i+1:], 10, 16)
		if strings.Count(rest, ":") == 1 || strings.HasPrefix(rest, "[") {
			if err != nil || port == 0 {
				return b, "has no port from 1 to 65535 behind its host, " + usual
			}
			b.Port = int(port)
		} else {
			return b, `has an IPv6 address without brackets: write it such as "tls://[2001:db8::1]:8883"`
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		if !closed || err != nil || !ip.Is6() {
			return b, "has no IPv6 address between its brackets, " + usual
		}
		b.Host = inner
		return b, ""
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostName(host) {
		return b, "has no valid host name, " + usual
	}
	b.Host = host
	return b, ""
}

// hostName reports whether s can be a name in the DNS (RFC 1123, and the
// underscore that some networks use). A name whose last part is a number is a
// mistyped IPv4 address.
func hostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
