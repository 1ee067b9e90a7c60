package config

import (
	"cmp"
	"math"
	"path/filepath"
	"strconv"
	"time"
	// A gateway without the system's time zones still knows its own.
	_ "time/tzdata"

	"github.com/pelletier/go-toml/v2/unstable"
)

// config reads all tables. Where something is wrong the default stands in, so
// that everything else can still be checked.
func (d *document) config() *Config {
	root := d.root
	c := &Config{}
	c.Gateway = readGateway(root.table("gateway"))
	used := claims{}
	c.Readers = readReaders(root.tables("reader"), used)
	c.Receivers = readReceivers(root.tables("receiver"))
	c.Feedback = readFeedback(root.table("feedback"), used)
	badges := root.table("badges")
	c.Badges = readBadges(badges, root.has("reader"))
	c.Seal = readSeal(root.table("seal"))
	c.Tags = readTags(root.table("tags"), c.Badges)
	c.Hours = readHours(root.table("hours"), root.has("hours"), root.has("receiver"))
	if office := root.table("office"); root.has("office") {
		c.Office = readOffice(office)
	}
	c.City = readCity(root.table("city"))
	badges.canRequire(c)
	c.Clock = readClock(root.table("clock"), c.Simulated())
	c.Journal = readJournal(root.table("journal"))
	c.MQTT = readMQTT(root.table("mqtt"))
	c.Health = readHealth(root.table("health"))
	if !root.has("reader") && !root.has("receiver") {
		d.report(1, "reader", "is missing, and so is receiver: write at least one [[reader]] or [[receiver]]")
	}
	return c
}

// claims remembers in which line a thing is used that only one key can use.
type claims map[string]int

// claim reports a second use. Nothing is claimed with "".
func (u claims) claim(t *table, key, thing string, why phrase) {
	if thing == "" {
		return
	}
	if line, taken := u[thing]; taken {
		t.problem(key, "%s is used already in line %d: %s", show(thing), line, why)
		return
	}
	u[thing] = t.at(key)
}

// maxSocket is the longest path of a socket in bytes (unix(7), sun_path, with
// its zero byte).
const maxSocket = 107

func readGateway(t *table) Gateway {
	g := Gateway{
		ID:       t.name("id", "dinkes-01"),
		Dinas:    t.name("dinas", "dinkes"),
		Place:    t.shortText("place"),
		Contact:  t.shortText("contact"),
		StateDir: t.file("state_dir", defaultState),
	}
	if g.StateDir == "" {
		t.problem("state_dir", "is empty: write the folder for the journal, or leave the key out")
	}
	if path := filepath.Join(g.StateDir, "control.sock"); len(path) > maxSocket {
		t.problem("state_dir", "is too long: with control.sock behind it it has %d bytes, and a socket's path at most %d", len(path), maxSocket)
	}
	zone := t.text("timezone", defaultZone)
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		t.problem("timezone", "%s is no time zone: write Asia/Jakarta (WIB), Asia/Makassar (WITA), Asia/Jayapura (WIT) or another name of the IANA list", show(zone))
		loc = time.UTC
	}
	g.Timezone = loc
	return g
}

func readReaders(tables []*table, pins claims) []Reader {
	var list []Reader
	names, buses := claims{}, claims{}
	for _, t := range tables {
		chip := t.hardware("chip", "mfrc522", chips())
		r := Reader{
			Name:     t.name("name", "door"),
			Chip:     chip.name,
			SpeedHz:  t.whole("speed_hz", 1_000_000, 10_000, cmp.Or(chip.maxHz, 10_000_000)),
			Poll:     t.duration("poll", 50*time.Millisecond, 10*time.Millisecond, 5*time.Second),
			ResetPin: t.pin("reset_pin"),
			IRQPin:   t.pin("irq_pin"),
			GainDB:   t.oneOf("gain_db", 33, 18, 23, 33, 38, 43, 48),
		}
		if v := t.values["bus"]; v != nil && v.kind == unstable.String && v.text == SimBus {
			r.Bus = t.required("bus", "/dev/spidev0.0")
		} else {
			r.Bus = t.device("bus", "/dev/spidev0.0")
			buses.claim(t, "bus", r.Bus, say("each reader has a bus of its own"))
		}
		if !chip.gain {
			if t.has("gain_db") {
				t.problem("gain_db", "is for chip mfrc522 only: delete it")
			}
			r.GainDB = 0
		}
		names.claim(t, "name", r.Name, say("each reader has a name of its own"))
		pins.claim(t, "reset_pin", r.ResetPin, say("each pin has one use"))
		pins.claim(t, "irq_pin", r.IRQPin, say("each pin has one use"))
		list = append(list, r)
	}
	return list
}

func readReceivers(tables []*table) []Receiver {
	var list []Receiver
	names, ports := claims{}, claims{}
	for _, t := range tables {
		r := Receiver{
			Name: t.name("name", "yard"),
			Port: t.device("port", "/dev/serial/by-id/usb-..."),
		}
		usual := 9600
		if t.required("protocol", "kenwood") != "" {
			if p := t.hardware("protocol", "", protocols()); p.name != "" {
				r.Protocol, usual = p.name, p.baud
				r.Payload = t.payload(p)
			}
		}
		r.Baud = t.oneOf("baud", usual, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
		names.claim(t, "name", r.Name, say("each receiver has a name of its own"))
		ports.claim(t, "port", r.Port, say("each receiver has a port of its own"))
		list = append(list, r)
	}
	return list
}

// payload is the form of what a protocol's tags send, "" where the protocol says it.
func (t *table) payload(p hardware) string {
	form := t.choice("payload", Payloads()[0], Payloads()...)
	if p.data {
		return form
	}
	if form != Payloads()[0] {
		t.problem("payload", "is for protocol reyax only: delete it")
	}
	return ""
}

func readFeedback(t *table, pins claims) Feedback {
	f := Feedback{Green: t.pin("green"), Red: t.pin("red"), Buzzer: t.pin("buzzer")}
	f.Invert = t.choices("invert", "green", "red", "buzzer")
	for _, key := range f.Invert {
		if !t.has(key) && !t.broken(key) {
			t.problem("invert", "names %s, for which no pin is set: set %s, or take it out", key, key)
		}
	}
	pins.claim(t, "green", f.Green, say("each pin has one use"))
	pins.claim(t, "red", f.Red, say("each pin has one use"))
	pins.claim(t, "buzzer", f.Buzzer, say("each pin has one use"))
	return f
}

func readBadges(t *table, readers bool) Badges {
	b := Badges{
		RepeatWindow: t.duration("repeat_window", 30*time.Second, 0, day),
		KeyFile:      t.file("key_file", ""),
		PlainUID:     t.flag("plain_uid"),
		Require:      t.choice("require", RequireUID, RequireUID, RequireAuthenticated),
		CAFile:       t.file("ca_file", ""),
	}
	switch {
	case b.KeyFile != "" && b.PlainUID:
		t.problem("plain_uid", "is true although key_file is set: keep one of the two")
	case readers && b.KeyFile == "" && !b.PlainUID && !t.broken("key_file", "plain_uid"):
		t.problem("key_file", "is missing: write the file of this gateway's badge key, or plain_uid = true to send UIDs as they are")
	}
	return b
}

func readSeal(t *table) Seal {
	s := Seal{KeyFile: t.file("key_file", ""), CertFile: t.file("cert_file", "")}
	if s.CertFile != "" && s.KeyFile == "" && !t.broken("key_file") {
		t.problem("cert_file", "is the certificate of a key that is not named: write key_file below [seal] too")
	}
	return s
}

// canRequire reports a gateway that would refuse every badge, since none could ever be
// authenticated. A simulated one knows the keys of simulated cards.
func (t *table) canRequire(c *Config) {
	if c.Badges.Require == RequireAuthenticated && !c.Simulated() && c.Badges.CAFile == "" && c.City.KeyFile == "" && !t.broken("ca_file") {
		t.problem("require", "would refuse every badge: write ca_file for PIV badges, or key_file below [city], whose signed badge-keys are for the others")
	}
}

// broken reports whether one of the keys is there with a value that could not
// be used, so that its absence need not be complained about as well.
func (t *table) broken(keys ...string) bool {
	for _, p := range t.doc.problems {
		for _, key := range keys {
			if t.has(key) && p.Key == join(t.path, key) {
				return true
			}
		}
	}
	return false
}

func readTags(t *table, badges Badges) Tags {
	tags := Tags{
		MinInterval: t.duration("min_interval", 30*time.Second, 0, day),
		MinMoveM:    t.number("min_move_m", 25, 0, 100_000),
		Heartbeat:   t.duration("heartbeat", 10*time.Minute, 0, day),
		Coordinates: t.choice("coordinates", "full", "full", "coarse", "none"),
		RosterFile:  t.file("roster_file", ""),
	}
	if old := "roster_key_file"; t.has(old) {
		t.known = append(t.known, old)
		t.problem(old, "has moved: write it as key_file below [city]; receipts and the time have to be signed with that key too")
	}
	// Raw card numbers in a roster could be neither hashed nor kept.
	if badges.KeyFile == "" && !badges.PlainUID && !t.doc.root.table("badges").broken("key_file", "plain_uid") {
		if tags.RosterFile != "" {
			t.problem("roster_file", "needs to know what badges are called: write badges.key_file, or badges.plain_uid = true")
		}
	}
	return tags
}

// degreesHint says what a latitude or longitude beyond its range looks like.
func (t *table) degreesHint() {
	at := func(key string) (float64, bool) {
		v := t.values[key]
		if v == nil || v.kind != unstable.Float && v.kind != unstable.Integer {
			return 0, false
		}
		f, err := v.float()
		return math.Abs(f), err == nil
	}
	lat, ok1 := at("lat")
	lon, ok2 := at("lon")
	switch {
	case !ok1 || !ok2:
	case lat > 360 || lon > 360:
		t.problem("lat", "and lon look like metres (UTM): write degrees (WGS 84), such as -7.9778 and 112.634")
	case lat > 90 && lat <= 180 && lon <= 90:
		t.problem("lat", "and lon look swapped: exchange the two")
	}
}

func readCity(t *table) City {
	return City{KeyFile: t.file("key_file", "")}
}

func readOffice(t *table) *Office {
	t.degreesHint()
	o := &Office{
		Lat:       t.number("lat", 0, -90, 90),
		Lon:       t.number("lon", 0, -180, 180),
		RadiusM:   t.number("radius_m", 0, 1, 100_000),
		FenceFile: t.file("fence_file", ""),
	}
	circle := []string{"lat", "lon", "radius_m"}
	if t.has("fence_file") && (o.FenceFile != "" || t.broken("fence_file")) {
		for _, key := range circle {
			if t.has(key) {
				t.problem(key, "stands beside fence_file: keep lat, lon and radius_m, or fence_file")
			}
		}
		return o
	}
	for _, key := range circle {
		if !t.has(key) {
			t.problem(key, "is missing: write lat, lon and radius_m, or fence_file, or delete [office]")
		}
	}
	return o
}

func readClock(t *table, simulated bool) Clock {
	c := Clock{Source: t.choice("source", "kernel", "kernel", "trust", "sim")}
	if c.Source == "sim" && !simulated {
		t.problem("source", "is sim, but no reader has bus = \"sim\": real events would carry invented times; write kernel")
	}
	return c
}

func readJournal(t *table) Journal {
	// bbolt maps the whole file, and a 32-bit process has room for 2 GB.
	largest := 4096
	if strconv.IntSize == 32 {
		largest = 1900
	}
	return Journal{
		Keep:           t.duration("keep", 35*day, time.Hour, 3650*day),
		MaxMB:          t.whole("max_mb", 256, 1, largest),
		CommitInterval: t.duration("commit_interval", time.Second, 10*time.Millisecond, time.Minute),
	}
}

func readHealth(t *table) Health {
	h := Health{
		Interval:      t.duration("interval", time.Minute, time.Second, time.Hour),
		QuietInterval: t.duration("quiet_interval", 0, 0, day),
	}
	if h.QuietInterval != 0 && h.QuietInterval < h.Interval {
		t.problem("quiet_interval", "is shorter than health.interval, %s: write a longer one, or 0s", formatDuration(h.Interval))
	}
	return h
}

func readMQTT(t *table) MQTT {
	m := MQTT{
		CAFile:       t.file("ca_file", ""),
		CertFile:     t.file("cert_file", ""),
		KeyFile:      t.file("key_file", ""),
		Username:     t.text("username", ""),
		PasswordFile: t.file("password_file", ""),
		Insecure:     t.flag("insecure"),
		Receipts:     t.flag("receipts"),
		Window:       t.whole("window", 256, 1, 10_000),
		KeepAlive:    t.duration("keepalive", 15*time.Second, 5*time.Second, 15*time.Minute),

		Batch:     t.choice("batch", "off", "off", "zstd"),
		BatchWait: t.duration("batch_wait", 0, 0, time.Hour),
		BatchMax:  t.whole("batch_max", 256, 2, 256),
	}
	if s := t.text("proxy", ""); s != "" {
		address, wrong := parseProxy(s)
		if wrong.en != "" {
			t.problem("proxy", "%s", wrong)
		}
		m.Proxy = address
	}
	if s := t.required("broker", exampleBroker); s != "" {
		b, wrong := parseBroker(s)
		// What a proxy takes for its own loopback address is not on this machine.
		open := !b.TLS && !m.Insecure && (!b.Loopback() || m.Proxy != "")
		switch {
		case wrong.en != "":
			t.problem("broker", "%s", wrong)
		case open && b.Path != "":
			t.problem("broker", "goes over the network without encryption: write wss://, or insecure = true if you accept that anybody on the way can read and change everything")
		case open:
			t.problem("broker", "goes over the network without encryption: write tls://, or insecure = true if you accept that anybody on the way can read and change everything")
		}
		m.Broker = b
	}
	switch {
	case m.CertFile != "" && m.KeyFile == "" && !t.broken("key_file"):
		t.problem("cert_file", "has no key_file beside it: write both or none")
	case m.CertFile == "" && m.KeyFile != "" && !t.broken("cert_file"):
		t.problem("key_file", "has no cert_file beside it: write both or none")
	}
	switch {
	case m.Username == "" && m.PasswordFile != "" && !t.broken("username"):
		t.problem("password_file", "has no username beside it: write both or none")
	case m.Username != "" && m.PasswordFile == "" && m.CertFile == "" && !t.broken("password_file"):
		t.problem("username", "has no password_file beside it: write both or none")
	}
	return m
}
