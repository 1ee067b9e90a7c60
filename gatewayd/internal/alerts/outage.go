package alerts

import "strings"

// Failure is a way in which the gateway can fail to do its work: a kind of line
// on the evidence sheet. Those with <name> in them are about one of several
// readers, receivers or tasks. They are on disk and never change their meaning.
type Failure string

// The failures that a sheet can show. The last four show in the journal itself
// or in the health document, and have no alert of their own.
const (
	ReaderBroken  Failure = "reader-<name>"
	ReceiverLost  Failure = "receiver-<name>"
	TaskDead      Failure = "task-<name>"
	JournalNoRoom Failure = "journal-full"
	JournalShut   Failure = "journal-closed"
	ClockUnknown  Failure = "clock-unknown" // nobody knew the time
	PowerOff      Failure = "power-off"     // the machine was off or restarted without a goodbye
	Crashed       Failure = "crashed"       // the gateway ended without a goodbye, the machine ran on
	Stopped       Failure = "stopped"       // somebody stopped the gateway
)

// failures are the words for each.
func failures() []struct {
	failure Failure
	id, en  string
} {
	return []struct {
		failure Failure
		id, en  string
	}{
		{ReaderBroken, `Pembaca kartu "{name}" tidak berfungsi`, `Badge reader "{name}" did not work`},
		{ReceiverLost, `Penerima tag "{name}" tidak terhubung`, `Tag receiver "{name}" was not connected`},
		{TaskDead, `Bagian "{name}" dari program gateway tidak berfungsi`, `The part "{name}" of the gateway program did not work`},
		{JournalNoRoom, "Tidak ada tempat penyimpanan: tap ditolak (lampu merah)", "No room to record anything: taps were refused (red lamp)"},
		{JournalShut, "Tempat penyimpanan tidak dapat dibuka: tap ditolak (lampu merah)", "The storage could not be opened: taps were refused (red lamp)"},
		{ClockUnknown, "Jam perangkat tidak diketahui", "The device did not know the time"},
		{PowerOff, "Perangkat mati atau dimulai ulang tanpa dimatikan dengan benar (misalnya listrik padam)", "The device was off, or restarted without being shut down (a power cut, for example)"},
		{Crashed, "Program gateway berhenti mendadak", "The gateway program ended unexpectedly"},
		{Stopped, "Program gateway dihentikan petugas", "The gateway program was stopped by somebody"},
	}
}

// Outage is a failure of one thing.
type Outage struct {
	Failure Failure `cbor:"1,keyasint"`
	// Name of the reader or receiver, "" where there is only one.
	Name string `cbor:"2,keyasint,omitempty"`
}

// Code is the outage in one word: that of the alert which told of it, where
// there was one.
func (o Outage) Code() string {
	return strings.ReplaceAll(string(o.Failure), family, word(o.Name))
}

// Texts says in Indonesian and English what did not work. Of a failure that
// this version does not know it says the code.
func (o Outage) Texts() (id, en string) {
	for _, f := range failures() {
		if f.failure == o.Failure {
			return fill(f.id, o.Name, nil), fill(f.en, o.Name, nil)
		}
	}
	return o.Code(), o.Code()
}

// Failures are all kinds of failures.
func Failures() []Failure {
	var all []Failure
	for _, f := range failures() {
		all = append(all, f.failure)
	}
	return all
}
