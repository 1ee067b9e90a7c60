package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// wrong is a wrong file: the base with old replaced by new, or with new added
// behind its 14 lines.
type wrong struct {
	name, old, new string
	want           []string // each "line key: a part of the text", in order
}

func wrongFiles() []wrong { //nolint:funlen // a table of cases
	at14 := func(broker string) (old, new string) {
		return `"tcp://localhost"`, fmt.Sprintf("%q", broker)
	}
	broker := func(name, url, part string) wrong {
		old, new := at14(url)
		return wrong{name, old, new, []string{"14 mqtt.broker: " + part}}
	}
	proxy := func(name, url, part string) wrong {
		return wrong{name, `"tcp://localhost"`, fmt.Sprintf("\"tls://b\"\nproxy = %q", url), []string{"15 mqtt.proxy: " + part}}
	}
	return []wrong{
		// TOML itself.
		{"syntax", `bus = "sim"`, `bus = `, []string{"6 : not valid TOML"}},
		{"syntax error is alone", `id = "dinkes-01"`, "id = X\nnonsense = 1", []string{"2 : not valid TOML"}},
		{"open string", `"door"`, `"door`, []string{"5 : not valid TOML"}},
		{"not UTF-8", `"door"`, "\"do\xffor\"", []string{"5 : save the file as UTF-8"}},
		{"UTF-16", `[gateway]`, "\xff\xfe[\x00", []string{"1 : save the file as UTF-8"}},
		{"key twice", `dinas = "dinkes"`, "dinas = \"dinkes\"\nid = \"x\"", []string{"4 gateway.id: twice (first in line 2)"}},
		{"key twice, and more", `dinas = "dinkes"`, "id = \"x\"\nid = \"y\"", []string{"1 gateway.dinas: missing", "3 gateway.id: twice", "4 gateway.id: twice"}},
		{"table twice", "", "[badges]\nplain_uid = true", []string{"15 badges: twice (first in line 11)", "16 badges.plain_uid: twice (first in line 12)"}},
		{"key twice in an inline table", "", "[hours]\nperiod = [\n{from=2027-01-01, to=2027-01-01, mon=\"\", mon=\"\"}]", []string{"17 hours.period.mon: twice"}},
		{"value and table", "", "[hours]\nalways = true\n[hours.always]", []string{"17 hours.always: twice (first in line 16)"}},
		{"table twice without keys", "", "[tags]\n[tags]", []string{"16 tags: not valid TOML"}},
		{"impossible date", "", "[hours]\nholidays = [\n2026-02-30]", []string{"17 hours.holidays: no date"}},
		{"number too large for TOML", "", "[journal]\nmax_mb = 99999999999999999999", []string{"16 journal.max_mb: out of range"}},

		// Unknown keys.
		{"unknown key", "", "[tags]\nmin_intervall = \"5s\"", []string{"16 tags.min_intervall: did you mean tags.min_interval?"}},
		{"unknown key in a list", "", "[[receiver]]\nname=\"r\"\nprotocol=\"reyax\"\nport=\"/dev/ttyUSB1\"\nbuad=1", []string{"19 receiver.buad: did you mean receiver.baud?"}},
		{"unknown table", "", "[mqqt]\nbroker = 1", []string{"15 mqqt: did you mean mqtt?"}},
		{"key of another table", "", "[journal]\nreceipts = false", []string{"16 journal.receipts: it belongs to [mqtt]"}},
		{"key above the tables", `[gateway]`, "host = 1\n[gateway]", []string{"1 host: not known"}},
		{"quoted key", "", "\"a\\nb\" = 1", []string{`15 mqtt."a\nb": not known`}},
		{"empty key", "", `"" = 1`, []string{`15 mqtt."": not known`}},
		{"mistyped break", "", "[hours]\nmon = \"07:30-16:00\"\nfri_brek = \"12:00-13:00\"", []string{"17 hours.fri_brek: did you mean hours.fri_break?"}},
		{"no break", "", "[hours]\nbreak = \"noon\"\nmon_break = \"13:00-12:00\"", []string{"16 hours.break: no span of hours", "17 hours.mon_break: ends before it begins"}},
		{"break outside of the hours", "", "[hours]\nmon = \"07:30-12:00\"\nbreak = \"12:00-13:00\"", []string{"17 hours.break: not within the hours of any day"}},
		{"break of a closed day", "", "[hours]\nmon = \"07:30-12:00\"\nfri_break = \"11:00-12:00\"", []string{"17 hours.fri_break: not within the hours of that day"}},
		{"break outside of a period's hours", "", "[[hours.period]]\nfrom=2027-01-01\nto=2027-01-02\nmon=\"08:00-12:00\"\nbreak=\"12:00-13:00\"", []string{"19 hours.period.break: not within the hours of any day"}},
		{"a break as long as the day", "", "[hours]\nmon = \"07:30-12:00\"\nbreak = \"07:00-12:00\"", []string{"15 hours: closed on every day"}},
		{"unknown key in a period", "", "[[hours.period]]\nfrom=2027-01-01\nto=2027-01-02\nmon=\"\"\nmonday=\"\"", []string{"19 hours.period.monday: not known"}},
		{"a seal key's certificate alone", "", "[seal]\ncert_file = \"seal.pem\"", []string{"16 seal.cert_file: write key_file below [seal] too"}},
		{"unknown deep table", "", "[gateway.deep.er]\nx = 1", []string{"15 gateway.deep: not known"}},

		// Wrong types.
		{"number for text", `"door"`, `1`, []string{"5 reader.name: is the whole number 1: write text"}},
		{"text for number", "", "[journal]\nmax_mb = \"256\"", []string{"16 journal.max_mb: is text: write a whole number from 1 to"}},
		{"fraction for whole number", "", "[journal]\nmax_mb = 1.5", []string{"16 journal.max_mb: the number 1.5"}},
		{"text for flag", "", "insecure = \"true\"", []string{"15 mqtt.insecure: is text: write true or false"}},
		{"number for duration", "", "[health]\ninterval = 60", []string{`16 health.interval: the whole number 60: write a length of time in quotes, such as "1m"`}},
		{"date for text", `"dinkes"`, `2026-01-01`, []string{"3 gateway.dinas: the date 2026-01-01"}},
		{"time for hours", "", "[hours]\nmon = 07:30", []string{"16 hours.mon: the time of day 07:30"}},
		{"text for holidays", "", "[hours]\nholidays = \"2026-12-25\"", []string{"16 hours.holidays: write a list of dates"}},
		{"number among the holidays", "", "[hours]\nholidays = [\n  2026-12-25,\n  7,\n]", []string{"18 hours.holidays: holds the whole number 7"}},
		{"list among the holidays", "", "[hours]\nholidays = [[]]", []string{"16 hours.holidays: holds a list"}},
		{"list for text", "", "username = [\"a\"]", []string{"15 mqtt.username: a list"}},
		{"table for text", "", "username = {a = 1}", []string{"15 mqtt.username: a table", "15 mqtt.username.a: not known"}},
		{"value for table", `[gateway]`, "journal = 5\n[gateway]", []string{"1 journal: the whole number 5: write a table"}},
		{"value for list of tables", `[gateway]`, "hours.period = 5\n[gateway]", []string{"1 hours.period: the whole number 5: write a table for each"}},
		{"list of values for list of tables", "", "[hours]\nperiod = [5]", []string{"16 hours.period: holds the whole number 5"}},
		{"single for list", "[[receiver]]", "[receiver]", []string{"7 receiver: write [[receiver]], not [receiver]"}},
		{"list for single", "[badges]", "[[badges]]", []string{"11 badges: write [badges] once, not [[badges]]"}},
		{"line break in text", `"dinkes-01"`, `"a\nb"`, []string{"2 gateway.id: a line break"}},

		// Gateway.
		{"no gateway", "[gateway]\nid = \"dinkes-01\"\ndinas = \"dinkes\"\n", "", []string{"1 gateway.id: missing", "1 gateway.dinas: missing"}},
		{"capital letters", `"dinkes-01"`, `"Dinkes-01"`, []string{"2 gateway.id: small letters"}},
		{"topic wildcard", `"dinkes"`, `"+"`, []string{"3 gateway.dinas: small letters"}},
		{"name too long", `"dinkes"`, `"` + strings.Repeat("a", 33) + `"`, []string{"3 gateway.dinas: 1 to 32"}},
		{"empty name", `"dinkes-01"`, `""`, []string{"2 gateway.id: is empty"}},
		{"place too long", `dinas = "dinkes"`, "dinas = \"dinkes\"\nplace = \"" + strings.Repeat("a", 201) + "\"", []string{"4 gateway.place: has 201 bytes"}},
		{"contact on two lines", `dinas = "dinkes"`, "dinas = \"dinkes\"\ncontact = \"a\\nb\"", []string{"4 gateway.contact: line break"}},
		{"time zone", `dinas = "dinkes"`, "dinas = \"dinkes\"\ntimezone = \"WIB\"", []string{"4 gateway.timezone: write Asia/Jakarta"}},
		{"time zone Local", `dinas = "dinkes"`, "dinas = \"dinkes\"\ntimezone = \"Local\"", []string{"4 gateway.timezone: no time zone"}},
		{"empty time zone", `dinas = "dinkes"`, "dinas = \"dinkes\"\ntimezone = \"\"", []string{"4 gateway.timezone: no time zone"}},
		{"empty state folder", `dinas = "dinkes"`, "dinas = \"dinkes\"\nstate_dir = \"\"", []string{"4 gateway.state_dir: empty"}},

		// Readers and receivers.
		{"no name", "name = \"door\"\n", "", []string{"4 reader.name: missing"}},
		{"no bus", "bus = \"sim\"\n", "", []string{"4 reader.bus: missing"}},
		{"bus is no path", `"sim"`, `"spidev0.0"`, []string{"6 reader.bus: its whole path"}},
		{"chip", `bus = "sim"`, "bus = \"sim\"\nchip = \"rc522\"", []string{`7 reader.chip: did you mean "mfrc522"?`}},
		{"too fast for the chip", `bus = "sim"`, "bus = \"sim\"\nchip = \"pn532\"\nspeed_hz = 5_000_001", []string{"8 reader.speed_hz: from 10000 to 5000000"}},
		{"gain of a chip without one", `bus = "sim"`, "bus = \"sim\"\nchip = \"pn532\"\ngain_db = 33", []string{"8 reader.gain_db: is for chip mfrc522 only"}},
		{"speed too low", `bus = "sim"`, "bus = \"sim\"\nspeed_hz = 9_999", []string{"7 reader.speed_hz: from 10000 to 10000000"}},
		{"speed too high", `bus = "sim"`, "bus = \"sim\"\nspeed_hz = 10_000_001", []string{"7 reader.speed_hz: from 10000 to 10000000"}},
		{"poll too short", `bus = "sim"`, "bus = \"sim\"\npoll = \"9ms\"", []string{"7 reader.poll: write 10ms to 5s"}},
		{"poll too long", `bus = "sim"`, "bus = \"sim\"\npoll = \"6s\"", []string{"7 reader.poll: write 10ms to 5s"}},
		{"poll without unit", `bus = "sim"`, "bus = \"sim\"\npoll = \"50\"", []string{`7 reader.poll: such as "50ms"`}},
		{"gain", `bus = "sim"`, "bus = \"sim\"\ngain_db = 34", []string{"7 reader.gain_db: 18, 23, 33, 38, 43, 48"}},
		{"pin without GPIO", `bus = "sim"`, "bus = \"sim\"\nreset_pin = \"25\"", []string{"7 reader.reset_pin: no pin"}},
		{"pin of the header", `bus = "sim"`, "bus = \"sim\"\nreset_pin = \"P1_22\"", []string{"7 reader.reset_pin: no pin"}},
		{"pin with a zero", `bus = "sim"`, "bus = \"sim\"\nreset_pin = \"GPIO05\"", []string{"7 reader.reset_pin: no pin"}},
		{"pin used twice", "", "[feedback]\ngreen = \"GPIO17\"\nred = \"GPIO17\"", []string{"17 feedback.red: used already in line 16"}},
		{"inverted what is not there", "", "[feedback]\ngreen = \"GPIO17\"\ninvert = [\"green\", \"buzzer\"]", []string{"17 feedback.invert: names buzzer, for which no pin is set: set buzzer, or take it out"}},
		{"inverted what it has no name for", "", "[feedback]\ngreen = \"GPIO17\"\ninvert = [\"lamp\"]", []string{`17 feedback.invert: holds "lamp": write a list of some of green, red, buzzer, such as ["green"]`}},
		{"inverted twice", "", "[feedback]\ngreen = \"GPIO17\"\ninvert = [\"green\", \"green\"]", []string{`17 feedback.invert: holds "green" twice: once will do`}},
		{"inverted by a word", "", "[feedback]\ngreen = \"GPIO17\"\ninvert = \"green\"", []string{`17 feedback.invert: is text: write a list of some of green, red, buzzer, such as ["green"]`}},
		{"inverted by a number", "", "[feedback]\ngreen = \"GPIO17\"\ninvert = [17]", []string{`17 feedback.invert: holds the whole number 17: write a list of some of green, red, buzzer, such as ["green"]`}},
		{"reset pin as lamp", `bus = "sim"`, "bus = \"sim\"\nreset_pin = \"GPIO25\"\n[feedback]\nbuzzer = \"GPIO25\"", []string{"9 feedback.buzzer: used already in line 7"}},
		{"irq pin", `bus = "sim"`, "bus = \"sim\"\nirq_pin = \"24\"", []string{"7 reader.irq_pin: no pin"}},
		{"irq pin as reset pin", `bus = "sim"`, "bus = \"sim\"\nreset_pin = \"GPIO25\"\nirq_pin = \"GPIO25\"", []string{"8 reader.irq_pin: used already in line 7"}},
		{"two readers of a name", "", "[[reader]]\nbus = \"sim\"\nname = \"door\"", []string{"17 reader.name: used already in line 5"}},
		{"two readers on a bus", `bus = "sim"`, "bus = \"/dev/spidev0.0\"\n[[reader]]\nname = \"back\"\nbus = \"/dev/../dev/spidev0.0\"", []string{"9 reader.bus: used already in line 6"}},
		{"two receivers of a name", "", "[[receiver]]\nname = \"yard\"\nprotocol = \"reyax\"\nport = \"/dev/ttyUSB1\"", []string{"16 receiver.name: used already in line 8"}},
		{"two receivers on a port", "", "[[receiver]]\nname = \"roof\"\nprotocol = \"reyax\"\nport = \"/dev/ttyUSB0\"", []string{"18 receiver.port: used already in line 10"}},
		{"no protocol", "protocol = \"kenwood\"\n", "", []string{"7 receiver.protocol: missing"}},
		{"protocol", `"kenwood"`, `"kenwod"`, []string{`9 receiver.protocol: did you mean "kenwood"?`}},
		{"payload of another protocol", `"kenwood"`, "\"kenwood\"\npayload = \"json\"", []string{"10 receiver.payload: is for protocol reyax only"}},
		{"payload", `"kenwood"`, "\"reyax\"\npayload = \"jsn\"", []string{`10 receiver.payload: did you mean "json"?`}},
		{"port", `"/dev/ttyUSB0"`, `"COM3"`, []string{"10 receiver.port: its whole path"}},
		{"baud", `port = "/dev/ttyUSB0"`, "port = \"/dev/ttyUSB0\"\nbaud = 9601", []string{"11 receiver.baud: one of 1200"}},

		// Badges and tags.
		{"no badges", "[badges]\nplain_uid = true\n", "", []string{"1 badges.key_file: missing"}},
		{"neither key nor plain", `plain_uid = true`, `plain_uid = false`, []string{"11 badges.key_file: missing"}},
		{"key and plain", `plain_uid = true`, "plain_uid = true\nkey_file = \"/k\"", []string{"12 badges.plain_uid: keep one of the two"}},
		{"plain of a wrong type is one problem", `plain_uid = true`, `plain_uid = 1`, []string{"12 badges.plain_uid: true or false"}},
		{"no such demand", `plain_uid = true`, "plain_uid = true\nrequire = \"piv\"", []string{"13 badges.require: not one of uid, authenticated"}},
		{"negative window", `plain_uid = true`, "plain_uid = true\nrepeat_window = \"-1s\"", []string{"13 badges.repeat_window: write 0s to 1d"}},
		{"negative days", `plain_uid = true`, "plain_uid = true\nrepeat_window = \"-1d\"", []string{"13 badges.repeat_window: no length of time"}},
		{"days minus hours", "", "[journal]\nkeep = \"2d-1h\"", []string{"16 journal.keep: no length of time"}},
		{"endless days", "", "[journal]\nkeep = \"999999999d\"", []string{"16 journal.keep: no length of time"}},
		{"negative metres", "", "[tags]\nmin_move_m = -0.1", []string{"16 tags.min_move_m: from 0 to 100000"}},
		{"no number", "", "[tags]\nmin_move_m = nan", []string{"16 tags.min_move_m: out of range"}},
		{"infinite", "", "[tags]\nmin_move_m = +inf", []string{"16 tags.min_move_m: out of range"}},
		{"coordinates", "", "[tags]\ncoordinates = \"rough\"", []string{"16 tags.coordinates: full, coarse, none"}},
		{"roster without a badge key", base[strings.Index(base, "[[reader]]"):], "[[receiver]]\nname=\"r\"\nprotocol=\"reyax\"\nport=\"/dev/ttyUSB1\"\n[mqtt]\nbroker=\"tcp://localhost\"\n[tags]\nroster_file = \"r.csv\"\nroster_key_file = \"r.pem\"", []string{
			"11 tags.roster_file: what badges are called", "12 tags.roster_key_file: below [city]",
		}},

		// Hours.
		{"closed for ever by absence", "", "[hours]\nalways = false", []string{"15 hours: no day"}},
		{"closed for ever in words", "", "[hours]\nmon = \"\"", []string{"15 hours: closed on every day"}},
		{"span", "", "[hours]\nmon = \"7:30-16:00\"", []string{`16 hours.mon: such as "07:30-16:00"`}},
		{"span with dots", "", "[hours]\nmon = \"07.30-16.00\"", []string{"16 hours.mon: no span"}},
		{"backwards", "", "[hours]\nmon = \"16:00-07:30\"", []string{"16 hours.mon: ends before it begins"}},
		{"empty span", "", "[hours]\nmon = \"07:30-07:30\"", []string{"16 hours.mon: ends before it begins"}},
		{"beyond 24:00", "", "[hours]\nmon = \"07:30-24:01\"", []string{"16 hours.mon: no span"}},
		{"from 24:00", "", "[hours]\nmon = \"24:00-24:00\"", []string{"16 hours.mon: no span"}},
		{"60 minutes", "", "[hours]\nmon = \"07:60-16:00\"", []string{"16 hours.mon: no span"}},
		{"holiday", "", "[hours]\nholidays = [\n\"2026-12-25\",\n\"25-12-2026\"]", []string{"18 hours.holidays: no date"}},
		{"period without dates", "", "[[hours.period]]\nmon = \"08:00-15:00\"", []string{"15 hours.period.from: missing", "15 hours.period.to: missing"}},
		{"period without days", "", "[[hours.period]]\nfrom = 2027-01-01\nto = 2027-01-02", []string{"15 hours.period: no day"}},
		{"period backwards", "", "[[hours.period]]\nfrom = 2027-01-03\nto = 2027-01-02\nmon = \"\"", []string{"17 hours.period.to: exchange the two"}},
		{"periods overlap", "", "[[hours.period]]\nfrom=2027-01-03\nto=2027-01-04\nmon=\"\"\n[[hours.period]]\nfrom=2027-01-01\nto=2027-01-03\nmon=\"\"", []string{"20 hours.period.from: overlaps with the period of line 15"}},
		{"period within another", "", "[[hours.period]]\nfrom=2027-01-01\nto=2027-12-31\nmon=\"\"\n[[hours.period]]\nfrom=2027-02-01\nto=2027-02-02\nmon=\"\"\n[[hours.period]]\nfrom=2027-03-01\nto=2027-03-02\nmon=\"\"", []string{"20 hours.period.from: line 15", "24 hours.period.from: line 15"}},

		// Office.
		{"empty office", "", "[office]", []string{"15 office.lat: missing", "15 office.lon: missing", "15 office.radius_m: missing"}},
		{"no radius", "", "[office]\nlat = -7.9\nlon = 112.6", []string{"15 office.radius_m: missing"}},
		{"radius", "", "[office]\nlat = -7.9\nlon = 112.6\nradius_m = 0", []string{"18 office.radius_m: from 1 to 100000"}},
		{"latitude and longitude", "", "[office]\nlat = 112.6\nlon = -187.9\nradius_m = 9", []string{"16 office.lat: from -90 to 90", "17 office.lon: from -180 to 180"}},
		{"circle and file", "", "[office]\nlat = 1\nfence_file = \"f\"", []string{"16 office.lat: beside fence_file"}},

		// Clock, journal, health.
		{"clock", "", "[clock]\nsource = \"ntp\"", []string{"16 clock.source: kernel, trust, sim"}},
		{"mocked clock without mocked reader", `bus = "sim"`, "bus = \"/dev/spidev0.0\"\n[clock]\nsource = \"sim\"", []string{"8 clock.source: write kernel"}},
		{"keep too short", "", "[journal]\nkeep = \"59m\"", []string{"16 journal.keep: write 1h to 3650d"}},
		{"keep too long", "", "[journal]\nkeep = \"3651d\"", []string{"16 journal.keep: write 1h to 3650d"}},
		{"no space", "", "[journal]\nmax_mb = 0", []string{"16 journal.max_mb: from 1 to"}},
		{"too much space", "", "[journal]\nmax_mb = 4097", []string{"16 journal.max_mb: from 1 to"}},
		{"commit interval", "", "[journal]\ncommit_interval = \"1h\"", []string{"16 journal.commit_interval: write 10ms to 1m"}},
		{"quiet interval below the interval", "", "[health]\ninterval = \"5m\"\nquiet_interval = \"1m\"", []string{"17 health.quiet_interval: is shorter than health.interval, 5m"}},
		{"quiet interval", "", "[health]\nquiet_interval = \"2d\"", []string{"16 health.quiet_interval: write 0s to 1d"}},
		{"health interval", "", "[health]\ninterval = \"2h\"", []string{"16 health.interval: write 1s to 1h"}},

		// MQTT.
		{"no mqtt", "[mqtt]\nbroker = \"tcp://localhost\"\n", "", []string{"1 mqtt.broker: missing"}},
		broker("empty broker", "", "is empty"),
		broker("no scheme", "mqtt.example.go.id:8883", "no scheme"),
		broker("mqtts", "mqtts://b", "write tls://"),
		broker("mqtt", "mqtt://b", "write tls://"),
		broker("other scheme", "amqps://b", "only tls://, wss://, tcp:// and ws://"),
		broker("https", "https://b", "write wss://"),
		broker("websocket in the open", "ws://mqtt.example.go.id/mqtt", "without encryption: write wss://"),
		broker("websocket with a password", "wss://u:secret@b/mqtt", "holds a user name"),
		broker("websocket with a query", "wss://b/mqtt?token=secret", "path with characters"),
		broker("websocket with a blank", "wss://b/a b", "path with characters"),
		broker("websocket without a host", "wss:///mqtt", "no valid host name"),
		broker("websocket at port 0", "wss://b:0/mqtt", "port from 1 to 65535"),
		proxy("proxy without a scheme", "10.0.0.1:3128", "no scheme: write http://host:port"),
		proxy("proxy over TLS", "https://10.0.0.1:3128", "only http://"),
		proxy("SOCKS", "socks5://10.0.0.1:1080", "only http://"),
		proxy("proxy with a password", "http://u:secret@10.0.0.1:3128", "holds a user name"),
		proxy("proxy with a path", "http://10.0.0.1:3128/x", "behind host and port"),
		proxy("proxy without a port", "http://10.0.0.1", "port from 1 to 65535"),
		proxy("proxy without a host", "http://:3128", "no valid host name"),
		// To the proxy localhost is itself.
		{"in the open behind a proxy", "", "proxy = \"http://10.0.0.1:3128/\"", []string{"14 mqtt.broker: without encryption"}},
		broker("in the open", "tcp://mqtt.example.go.id:1883", "without encryption"),
		broker("in the open, private address", "tcp://192.168.1.2", "without encryption"),
		broker("no host", "tls://", "no valid host name"),
		broker("only a port", "tls://:8883", "no valid host name"),
		broker("port 0", "tls://b:0", "port from 1 to 65535"),
		broker("port too high", "tls://b:65536", "port from 1 to 65535"),
		broker("no digits after the colon", "tls://b:", "port from 1 to 65535"),
		broker("path", "tls://b:8883/mqtt", "behind host and port"),
		broker("mistyped address", "tls://10.0.0.256", "no valid host name"),
		broker("IPv6 without brackets", "tls://2001:db8::1", "brackets"),
		broker("IPv6 never closed", "tls://[2001:db8::1", "IPv6"),
		broker("blank in the host", "tls://a b", "behind host and port"),
		{"window", "", "window = 0", []string{"15 mqtt.window: from 1 to 10000"}},
		{"window too large", "", "window = 10_001", []string{"15 mqtt.window: from 1 to 10000"}},
		{"keepalive", "", "keepalive = \"1s\"", []string{"15 mqtt.keepalive: write 5s to 15m"}},
		{"batch", "", "batch = \"gzip\"", []string{"15 mqtt.batch: is not one of off, zstd"}},
		{"batch as a flag", "", "batch = true", []string{"15 mqtt.batch: text in double quotes"}},
		{"batch_wait", "", "batch_wait = \"2h\"", []string{"15 mqtt.batch_wait: 0s to 1h"}},
		{"batch_wait below zero", "", "batch_wait = \"-1s\"", []string{"15 mqtt.batch_wait: 0s to 1h"}},
		{"batch_max", "", "batch_max = 1", []string{"15 mqtt.batch_max: from 2 to 256"}},
		{"batch_max too large", "", "batch_max = 257", []string{"15 mqtt.batch_max: from 2 to 256"}},
		{"certificate without key", "", "cert_file = \"c\"", []string{"15 mqtt.cert_file: no key_file"}},
		{"key without certificate", "", "key_file = \"c\"", []string{"15 mqtt.key_file: no cert_file"}},
		{"user without password", "", "username = \"c\"", []string{"15 mqtt.username: no password_file"}},
		{"password without user", "", "password_file = \"c\"", []string{"15 mqtt.password_file: no username"}},

		// All at once.
		{"nothing", base, "", []string{"1 gateway.id: missing", "1 gateway.dinas: missing", "1 mqtt.broker: missing", "1 reader: at least one"}},
		{"everywhere", base, "[gateway]\nid = 1\ndinas = \"A\"\nx = 1\n[[reader]]\nname = \"d\"\nbus = \"b\"\n[health]\ninterval = \"1\"\n", []string{
			"1 badges.key_file: missing", "1 mqtt.broker: missing",
			"2 gateway.id: text in double quotes", "3 gateway.dinas: small letters", "4 gateway.x: not known",
			"7 reader.bus: whole path", "9 health.interval: no length",
		}},
	}
}

// A gateway that every badge is refused at is a mistake, but for one that knows the keys of
// simulated cards.
func TestADemandThatNoBadgeCanMeet(t *testing.T) {
	demand := strings.Replace(base, "plain_uid = true", "plain_uid = true\nrequire = \"authenticated\"", 1)
	for name, tc := range map[string]struct {
		text string
		ok   bool
	}{
		"simulated":      {demand, true},
		"nothing":        {strings.Replace(demand, `bus = "sim"`, `bus = "/dev/spidev0.0"`, 1), false},
		"an authority":   {strings.NewReplacer(`bus = "sim"`, `bus = "/dev/spidev0.0"`, "plain_uid", "ca_file = \"/etc/gatewayd/badge-ca.pem\"\nplain_uid").Replace(demand), true},
		"the city's key": {strings.Replace(demand, `bus = "sim"`, `bus = "/dev/spidev0.0"`, 1) + "[city]\nkey_file = \"/etc/gatewayd/city.pem\"\n", true},
	} {
		_, err := Parse("g.toml", []byte(tc.text))
		if tc.ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "13: badges.require: would refuse every badge") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseWrong(t *testing.T) {
	for _, tt := range wrongFiles() {
		t.Run(tt.name, func(t *testing.T) {
			text := base + tt.new
			if tt.old != "" {
				text = strings.Replace(base, tt.old, tt.new, 1)
				if text == base {
					t.Fatalf("%q is not in the base", tt.old)
				}
			}
			_, err := Parse("g.toml", []byte(text))
			var got Problems
			if !errors.As(err, &got) {
				t.Fatalf("error %v of type %T, want Problems", err, err)
			}
			matchProblems(t, got, tt.want)
		})
	}
}

// matchProblems holds problems to "line key: a part of the text".
func matchProblems(t *testing.T, got Problems, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		place, part, _ := strings.Cut(want[i], ": ")
		ok = fmt.Sprintf("%d %s", got[i].Line, got[i].Key) == place && strings.Contains(got[i].Text, part)
	}
	if !ok {
		t.Errorf("problems:\n%v\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestProblemsAreLines(t *testing.T) {
	err := Problems{
		{File: "g.toml", Line: 7, Key: "reader.poll", Text: "is wrong"},
		{File: "g.toml", Line: 8, Text: "is no TOML"},
		{File: "g.toml", Text: "is missing"},
	}
	want := "g.toml:7: reader.poll: is wrong\ng.toml:8: is no TOML\ng.toml: is missing"
	if err.Error() != want {
		t.Errorf("printed as\n%v\nwant\n%s", err, want)
	}
}
