package config

import (
	"cmp"
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
	// Path, which begins with a slash, is where a web server takes MQTT over WebSocket
	// (MQTT 3.1.1, section 6). "" for MQTT straight over TCP or TLS.
	Path string
}

// Address is host:port, as net.Dial takes it.
func (b Broker) Address() string { return net.JoinHostPort(b.Host, strconv.Itoa(b.Port)) }

// String is the address as a URL, tls://, tcp://, wss:// or ws://.
func (b Broker) String() string {
	scheme := "tcp"
	switch {
	case b.TLS && b.Path != "":
		scheme = "wss"
	case b.TLS:
		scheme = "tls"
	case b.Path != "":
		scheme = "ws"
	}
	return scheme + "://" + b.Address() + b.Path
}

// Loopback reports whether the broker is on this machine.
func (b Broker) Loopback() bool {
	if strings.EqualFold(b.Host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(b.Host)
	return err == nil && ip.Unmap().IsLoopback()
}

// What problems give as an example of an address.
const (
	exampleBroker = "tls://mqtt.example.go.id:8883"
	exampleProxy  = "http://10.0.0.1:3128"
)

// parseBroker reads a broker's URL, or says what is wrong with it. It never
// repeats more than the scheme: people put passwords into URLs.
func parseBroker(s string) (b Broker, wrong phrase) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return b, say("has no scheme: write tls://host:port, such as %q", exampleBroker)
	}
	web := false
	switch strings.ToLower(scheme) {
	case "tcp":
		b.Port = 1883
	case "tls":
		b.TLS, b.Port = true, 8883
	case "ws":
		web, b.Port = true, 80
	case "wss":
		web, b.TLS, b.Port = true, true, 443
	case "mqtts", "ssl", "tcps":
		return b, say("has the scheme %s: write tls:// instead", show(scheme))
	case "https":
		return b, say("has the scheme %s: write wss:// for MQTT over WebSocket", show(scheme))
	case "mqtt":
		return b, say("has the scheme %s: write tls:// (or tcp:// for a broker on this machine)", show(scheme))
	default:
		return b, say("has the scheme %s: only tls://, wss://, tcp:// and ws:// are possible", show(scheme))
	}
	if strings.Contains(rest, "@") {
		return b, say("holds a user name: write it under username, and the password into password_file")
	}
	if web {
		path := ""
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			rest, path = rest[:i], rest[i:]
		}
		if !urlPath(path) {
			return b, say("has a path with characters that cannot stand there: write letters, digits and - . _ ~ / only, such as %q", "wss://mqtt.example.go.id:443/mqtt")
		}
		b.Path = cmp.Or(path, "/")
	}
	if strings.ContainsAny(rest, "/?# ") {
		return b, say("has something behind host and port: write no more than those, such as %q", exampleBroker)
	}
	b.Host, b.Port, wrong = parseHostPort(rest, b.Port, exampleBroker)
	return b, wrong
}

// urlPath reports whether s is the path of a URL of unreserved characters alone (RFC
// 3986, section 2.3). A query may hold a secret, which would then stand in logs.
func urlPath(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~/", r)
	})
}

// parseProxy reads the URL of an HTTP proxy into host:port, or says what is wrong with
// it, without repeating more than the scheme.
func parseProxy(s string) (address string, wrong phrase) {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case !ok:
		return "", say("has no scheme: write http://host:port, such as %q", exampleProxy)
	case !strings.EqualFold(scheme, "http"):
		return "", say("has the scheme %s: only http:// is possible, for a proxy that knows CONNECT", show(scheme))
	case strings.Contains(rest, "@"):
		return "", say("holds a user name: gatewayd gives none to a proxy; write http://host:port, and have the proxy let this gateway through by its address")
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/?# ") {
		return "", say("has something behind host and port: write no more than those, such as %q", exampleProxy)
	}
	host, port, wrong := parseHostPort(rest, 0, exampleProxy)
	if wrong.en == "" && port == 0 {
		wrong = say("has no port from 1 to 65535 behind its host, such as %q", exampleProxy)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), wrong
}

// parseHostPort reads a host, and the port behind it where there is one.
func parseHostPort(s string, usual int, example string) (host string, port int, wrong phrase) {
	host, port = s, usual
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host = s[:i]
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
			return "", 0, say("has an IPv6 address without brackets: write it such as %q", "tls://[2001:db8::1]:8883")
		}
		if err != nil || n == 0 {
			return "", 0, say("has no port from 1 to 65535 behind its host, such as %q", example)
		}
		port = int(n)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		if !closed || err != nil || !ip.Is6() {
			return "", 0, say("has no IPv6 address between its brackets, such as %q", example)
		}
		return inner, port, phrase{}
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostName(host) {
		return "", 0, say("has no valid host name, such as %q", example)
	}
	return host, port, phrase{}
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
