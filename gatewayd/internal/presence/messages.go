package presence

import "encoding/json"

// Status is the retained message of the topic `status`, and the last will.
type Status struct {
	State   string  `json:"state"`   // "online" or "offline"
	Session ID      `json:"session"` // of the process, so that a late will is recognised
	Reason  string  `json:"reason"`  // "start", "stop", "reload" or "lost"
	Time    *string `json:"time"`    // null while unknown, and in a will
}

// Why a gateway is offline on purpose, in Status.
const (
	ReasonStop   = "stop"
	ReasonReload = "reload" // it starts over at once, with a new session
)

// Info is the retained message of the topic `info`: what this gateway is.
type Info struct {
	V            int            `json:"v"`
	Gateway      string         `json:"gateway"`
	Dinas        string         `json:"dinas"`
	Place        string         `json:"place,omitempty"`   // where it is, in words
	Contact      string         `json:"contact,omitempty"` // whom to call about it
	Version      string         `json:"version"`
	Commit       string         `json:"commit"`
	Go           string         `json:"go"`
	Model        string         `json:"model"` // as the device tree names it
	OS           string         `json:"os"`
	Kernel       string         `json:"kernel"`
	Boot         ID             `json:"boot"`
	Session      ID             `json:"session"`
	Stream       ID             `json:"stream"`
	ConfigDigest string         `json:"config_digest"` // SHA-256 of the file, hex
	Schema       int            `json:"schema"`
	BadgeKey     string         `json:"badge_key,omitempty"` // Badges.Fingerprint; "" where UIDs are sent as they are
	Seal         *InfoSeal      `json:"seal,omitempty"`
	RolledBack   *InfoRollback  `json:"rolled_back,omitempty"`
	Readers      []InfoReader   `json:"readers"`
	Receivers    []InfoReceiver `json:"receivers"`
	Simulated    bool           `json:"simulated,omitempty"`
}

// InfoSeal is the key with which the gateway seals its journal. Info has none while there
// is no usable key.
type InfoSeal struct {
	Key         string `json:"key"`                   // KeyID
	PublicKey   string `json:"public_key"`            // SubjectPublicKeyInfo in PEM
	Certificate string `json:"certificate,omitempty"` // the city's, in PEM
	Request     string `json:"request,omitempty"`     // for the certificate, while that is missing: certificate requests in PEM
}

// InfoRollback names a version that did not get ready on this gateway, so that the one
// before it runs, until another version takes its place.
type InfoRollback struct {
	Version string `json:"version"`           // as it called itself; "" where it did not
	Package string `json:"package,omitempty"` // what dpkg has installed, as `dpkg -l` shows it
}

// InfoReader describes a configured reader.
type InfoReader struct {
	Name string `json:"name"`
	Chip string `json:"chip"`
	Bus  string `json:"bus"`
}

// InfoReceiver describes a configured receiver.
type InfoReceiver struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Port     string `json:"port"`
}

// Alert is the retained message of `alert/<code>` while the alert stands.
type Alert struct {
	Code  string `json:"code"`
	Level Level  `json:"level"` // "ok" is a hint that changes no level
	Since string `json:"since"` // RFC 3339, or "" while the time is unknown
	// About are the names of what it is about: a reader, a file, a tag; none
	// where that is the gateway.
	About []string `json:"about,omitempty"`
	ID    string   `json:"id"` // the text in Indonesian
	EN    string   `json:"en"` // the text in English
}

// Level is the health of the whole gateway in one word.
type Level string

// The levels, best first.
const (
	LevelOK    Level = "ok"    // all is well
	LevelWarn  Level = "warn"  // it records, but somebody should look
	LevelFault Level = "fault" // it fails at something it is there for
)

// Health is the retained message of the topic `health`, and what
// `gatewayd status --json` prints.
type Health struct {
	V         int              `json:"v"`
	Seq       uint64           `json:"seq"`
	IntervalS float64          `json:"interval_s"`
	Level     Level            `json:"level"`
	Time      *string          `json:"time"`
	UptimeS   int64            `json:"uptime_s"`
	Boot      ID               `json:"boot"`
	Boots     int              `json:"boots"`
	Unclean   int              `json:"unclean_boots"`
	Clock     ClockHealth      `json:"clock"`
	Journal   JournalHealth    `json:"journal"`
	MQTT      MQTTHealth       `json:"mqtt"`
	Readers   []ReaderHealth   `json:"readers"`
	Receivers []ReceiverHealth `json:"receivers"`
	// Batteries are the charges of tags in percent, above 100 while one is being charged.
	Batteries map[string]int `json:"tag_batteries,omitempty"`
	Roster    RosterHealth   `json:"roster"`
	Hours     HoursHealth    `json:"hours"`
	// Badges is nil where no badge can prove anything: neither require nor ca_file is
	// set, and no document of the city about badges is in force.
	Badges *BadgesHealth `json:"badges,omitempty"`
	Pi     PiHealth      `json:"pi"`
	Alerts []string      `json:"alerts"` // codes that stand
	// AlertTexts are the alerts in words, only for whoever asks the gateway itself.
	AlertTexts []Alert `json:"alert_texts,omitempty"`
	Simulated  bool    `json:"simulated,omitempty"`
}

// ClockHealth says how well the time is known.
type ClockHealth struct {
	State     string   `json:"state"`   // "synced", "holdover", "unsynced" or "trusted"
	Quality   Quality  `json:"quality"` // of an event that happened now
	ErrorMS   *float64 `json:"error_ms"`
	UnsyncedS int64    `json:"unsynced_s"` // since the system's clock was last disciplined
	RTC       bool     `json:"rtc"`        // there is a clock chip
}

// JournalHealth says how the journal fares.
type JournalHealth struct {
	Pending         int64   `json:"pending"` // events not yet delivered
	OldestPendingS  int64   `json:"oldest_pending_s"`
	Events          int64   `json:"events"` // in the file, delivered or not
	Bytes           int64   `json:"bytes"`  // of the file
	CommitMSP50     float64 `json:"commit_ms_p50"`
	CommitMSP99     float64 `json:"commit_ms_p99"`
	WrittenBytesDay int64   `json:"written_bytes_day"` // within the last 24 hours, or since the start
	FreeBytes       int64   `json:"free_bytes"`        // of events that still fit, by max_mb and on disk; 0 while taps are refused

	// SealKey is the key in use for seals (KeyID), "" while there is none of use. Unsealed
	// is how many events no seal covers yet, nil where no key is configured.
	SealKey  string `json:"seal_key,omitempty"`
	Unsealed *int64 `json:"unsealed,omitempty"`
}

// MQTTHealth says how the connection to the city fares.
type MQTTHealth struct {
	Connected       bool  `json:"connected"`
	Reconnects      int64 `json:"reconnects"`
	Published       int64 `json:"published"`
	Acked           int64 `json:"acked"`
	ReceivedReceipt int64 `json:"received_receipt"`
	Receipts        bool  `json:"receipts,omitempty"` // the gateway waits for the city's receipts
	OldestInflightS int64 `json:"oldest_inflight_s"`
	Refused         int64 `json:"refused"` // commands and receipts that were malformed or not for us
	DisconnectedS   int64 `json:"disconnected_s"`
	// What the line costs, in bytes as they go through the TCP connection, with what TLS,
	// WebSocket and a proxy take of it. The headers of TCP and IP, some 40 bytes a packet,
	// and what TCP repeats are not in it: no program sees them. The counts begin at 0 with
	// the process, and with a reload of the configuration.
	BytesSent     int64 `json:"bytes_sent"`
	BytesReceived int64 `json:"bytes_received"`
	// BytesDay is what was sent and received within the last 24 hours, or since the counts
	// began (up to uptime_s ago) where that is less: nothing happens to it at midnight, and
	// a restart has it begin at 0.
	BytesDay  int64  `json:"bytes_day"`
	LastError string `json:"last_error,omitempty"`
}

// ReaderHealth says how one badge reader fares.
type ReaderHealth struct {
	Name    string `json:"name"`
	State   string `json:"state"` // "ok", "deaf" or "bus-dead"
	Taps    int64  `json:"taps"`  // accepted
	Repeats int64  `json:"repeats"`
	Refused int64  `json:"refused"`
	Errors  int64  `json:"errors"`
	Version string `json:"version"`
	Error   string `json:"error,omitempty"` // the fault in words, while there is one

	// How well it hears, since the process began.
	LooksPerS float64 `json:"looks_per_s"` // over the last ten seconds or more in which it looked
	Seen      int64   `json:"seen"`        // cards that lay there, each counted once a look
	Misses    int64   `json:"misses"`      // looks that did not see a card which the looks before and after them saw
	BadFrames int64   `json:"bad_frames"`  // attempts at a card that failed
	Misreads  int64   `json:"misreads"`    // times that the chip read wrong once and right at once afterwards
	Mends     int64   `json:"mends"`       // times that the chip was found unfit and made fit again
	Resets    int64   `json:"resets"`      // resets of the chip, those for a mend among them

	// Visits of cards that were heard but have no number of their own.
	Unreadable int64 `json:"unreadable"`
}

// ReceiverHealth says how one tag receiver fares.
type ReceiverHealth struct {
	Name         string           `json:"name"`
	State        string           `json:"state"` // "ok", "silent" or "gone"
	Frames       int64            `json:"frames"`
	Bad          map[string]int64 `json:"bad"` // rejected frames by reason
	Duplicates   int64            `json:"duplicates"`
	Thinned      int64            `json:"thinned"`
	OutsideHours int64            `json:"outside_hours"`
	LastS        *int64           `json:"last_s"` // since the last valid frame; null if there was none
	Error        string           `json:"error,omitempty"`
}

// RosterHealth says which roster is in force.
type RosterHealth struct {
	Source  string `json:"source"`  // "none", "file" or "topic"
	Entries int    `json:"entries"` // badges in it
	Serial  uint64 `json:"serial"`  // of the signed document, 0 where it is none
	Refused int64  `json:"refused"` // documents that were forged, old or wrong
}

// HoursHealth says which working hours are in force.
type HoursHealth struct {
	Source  string `json:"source"` // "file" or "topic"
	Open    *bool  `json:"open"`   // tags are recorded now; null while the time is unknown
	Serial  uint64 `json:"serial"`
	Refused int64  `json:"refused"`
}

// PiHealth is what the board tells about itself; null where it does not.
type PiHealth struct {
	TempC         *float64 `json:"temp_c"`
	Undervoltage  *int64   `json:"undervoltage"`
	Throttled     *string  `json:"throttled"`
	DiskFreeBytes *int64   `json:"disk_free_bytes"`
	// DiskDaysLeft is in how many days the disk will be full at the pace of the
	// last day; null while it does not fill up.
	DiskDaysLeft *float64 `json:"disk_days_left"`
	RootReadonly *bool    `json:"root_readonly"`
	SDErrors     *int64   `json:"sd_errors"`
}

// Command is the payload of `cmd/<name>`.
type Command struct {
	TX      string          `json:"tx"`
	Expires string          `json:"expires"` // RFC 3339
	Args    json.RawMessage `json:"args"`

	// Documents are the serials of the signed documents that the city published last, by
	// topic behind the gateway's prefix ("roster", "policy/hours"). The gateway reads again
	// what is newer than it has. Nobody signs them.
	Documents map[string]uint64 `json:"documents,omitempty"`
}

// Reply is the payload of `reply/<name>`.
type Reply struct {
	TX     string          `json:"tx"`
	OK     bool            `json:"ok"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

// Receipt is the payload of `receipt`: the city's database has all events of
// the stream up to and including Upto.
//
// Where the gateway has the city's key, Sig signs "gatewayd receipt v1" and the
// department, the gateway, the stream, Upto in decimal and, if there is one, Link
// (see signed.City).
type Receipt struct {
	Stream ID     `json:"stream"`
	Upto   uint64 `json:"upto"`
	// Link is that event's as the city has it; zero where the receipt has none. It is signed
	// with the rest where it is there.
	Link Link   `json:"link,omitzero"`
	Sig  string `json:"sig,omitempty"` // base64 of an Ed25519 signature

	// Revised are corrections of the stream's events that the city has stored: signed with
	// the rest where there are any.
	Revised []Revised `json:"revised,omitempty"`

	Documents map[string]uint64 `json:"documents,omitempty"` // as in Command, and not signed
}

// Revised names a correction: an event of a receipt's stream and its rev, from 1.
type Revised struct {
	Seq uint64 `json:"seq"`
	Rev int    `json:"rev"`
}

// TimeRequest is the payload of `time/request`.
type TimeRequest struct {
	TX             string `json:"tx"`
	SentBoottimeNS int64  `json:"sent_boottime_ns"` // by the gateway's boot clock
}

// TimeReply is the payload of `time/reply`.
//
// Where the gateway has the city's key, Sig signs "gatewayd time v1" and the
// department, the gateway, TX and UTC as they are printed here (see
// signed.Statement).
type TimeReply struct {
	TX  string `json:"tx"`            // the question's: a nonce
	UTC string `json:"utc"`           // RFC 3339, down to nanoseconds
	Sig string `json:"sig,omitempty"` // base64 of an Ed25519 signature
}

// LogLine is the payload of `log`: a warning or an error, QoS 0.
type LogLine struct {
	Time    *string           `json:"time"`
	Level   string            `json:"level"` // "WARN" or "ERROR"
	Text    string            `json:"text"`
	Details map[string]string `json:"details,omitempty"`
	Dropped int64             `json:"dropped,omitempty"` // lines held back before this one
}
