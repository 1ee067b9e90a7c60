package beacon

import "time"

// Fix is one position report of one tag, as received.
type Fix struct {
	// Tag names who sent it, with the protocol as prefix: "kenwood:100-1001",
	// "kenwood:U00002", "reyax:50", "idas:200", "waypoint:NAME".
	Tag string

	// Lat and Lon are degrees (WGS 84), north and east positive.
	Lat, Lon float64

	// Accuracy is the radius in metres that the report claims, or 0 where it
	// claims none.
	Accuracy float64

	// Time is when the position was taken by the tag's own GPS, in UTC, or the
	// zero time where the report does not say. It is the tag's claim.
	Time time.Time

	// TimeOfDay is true where the report carried a time of day without a date:
	// Time then lies on 1 January of year 1 and only its clock is meaningful;
	// midnight is the zero time, so look at this flag first.
	TimeOfDay bool

	// Rollover is true where the date lay 1024 weeks in the past and was
	// corrected (a GPS receiver after its week number rolled over).
	Rollover bool

	// Unverified is true where the frame does not tell whether its
	// position comes from satellites (waypoints): a degraded source.
	Unverified bool

	// OddChecksum is true where the frame was accepted although its checksum
	// is off by exactly 0x2E, the mistake of a known family of firmware
	// (waypoints only). Count it under the key OddChecksum.
	OddChecksum bool

	// Status is the number that the tag's user chose last, nil where the report has
	// none (only Kenwood's long sentences have one). What it means is agreed upon by
	// those who use the radios; for those that mean an emergency to the radio itself
	// see Note.
	Status *int

	// Replay is true where the receiver had kept the report and tells it again: the
	// tag may be anywhere by now.
	Replay bool

	// Signed is true where the report carried a signature, and it is its sender's.
	Signed bool

	// Packet is the number that the sender gave this report, 0 where there is none.
	// Two receivers hear one report with one number.
	Packet uint32

	// RSSI is the receiver's signal strength in dBm, SNR the signal-to-noise
	// ratio in dB; nil where the receiver does not say.
	RSSI *int
	SNR  *float64
}

// Reason says why a frame was rejected. Reasons are the keys of the `bad`
// counters in the health document.
type Reason string

// The reasons, in the order in which a frame is checked.
const (
	BadFraming  Reason = "framing"   // not a frame of this protocol
	BadLength   Reason = "length"    // longer than any frame may be, or cut short
	BadChecksum Reason = "checksum"  // missing or wrong
	BadFields   Reason = "fields"    // wrong number of fields, or one that is no number
	BadNoFix    Reason = "nofix"     // the tag itself says that it has no position
	BadRange    Reason = "range"     // a value outside its range: minutes >= 60, latitude > 90
	BadIdentity Reason = "identity"  // no sender, or one that cannot be
	BadPayload  Reason = "payload"   // a position in another form than the receiver is configured for
	BadKey      Reason = "encrypted" // a packet that the radio has no key for; its line is good
	BadMQTT     Reason = "mqtt"      // a position that came to the radio over the internet; likewise

	BadSignature Reason = "signature" // a position whose signature is not its sender's
	BadLocked    Reason = "locked"    // the radio says that it is locked and hands nothing over
	BadRegion    Reason = "region"    // the radio says that it is set up for no region, and is off
)

// OddChecksum is the key under which accepted frames with Fix.OddChecksum are
// counted beside the rejected ones. No decoder rejects a frame with it.
const OddChecksum Reason = "checksum-0x2e"

// Note is what a frame says of a tag beside its position. It comes also with a frame
// that has no position, or none that is believed: who calls for help under a roof has
// no fix.
type Note struct {
	Tag string // as Fix.Tag

	// Emergency is true where the tag calls for help, and false where a frame that
	// could say so does not.
	Emergency bool

	// Battery is the charge of the tag's battery in percent, above 100 while it is
	// being charged; nil where the frame does not say.
	Battery *int

	// Formerly is the name that the same tag had before, "" where it has not changed.
	Formerly string
}

// Options are what a decoder needs beside its stream. The zero value is the usual one.
type Options struct {
	// Payload is the form in which tags put their position into the data of a modem
	// that prescribes none: one of Payloads, "" for the first of them. Only Reyax
	// asks.
	Payload string

	// Reject is called for each rejected frame, once, and Note for each that says
	// something beside a position; both on the goroutine that calls Next. Either may
	// be nil.
	Reject func(Reason)
	Note   func(Note)

	// After waits, as time.After does, for a decoder that talks to its radio; nil for
	// time.After. Tests put a clock of their own here.
	After func(time.Duration) <-chan time.Time
}

// complete puts what does nothing where something is missing.
func (o Options) complete() Options {
	if o.Payload == "" {
		o.Payload = PayloadRMC
	}
	if o.Reject == nil {
		o.Reject = func(Reason) {}
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Note == nil {
		o.Note = func(Note) {}
	}
	return o
}

// Decoder reads frames from one stream. It is used by one goroutine.
type Decoder interface {
	// Next blocks until the stream has delivered one valid report. Rejected
	// frames are counted through the function that the decoder was made with
	// and skipped. The only errors are the stream's own.
	Next() (Fix, error)
}
