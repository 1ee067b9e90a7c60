package alerts

import "time"

// Kind is a row of the catalogue.
type Kind int

// The kinds. Their order means nothing and is nowhere on disk.
const (
	ReaderDead Kind = iota
	ReaderDeaf
	ReaderWeak
	ReaderSilent
	ReceiverGone
	ReceiverNoisy
	ReceiverPayload
	ReceiverKey
	ReceiverLocked
	ReceiverRegion
	TaskFailing
	LampBroken
	JournalDamaged
	JournalRolledBack
	JournalForked
	JournalForeign
	JournalAltered
	JournalClosed
	JournalFull
	TagsDropped
	BrokerAway
	DeliveryUnconfirmed
	DeliveryUnreceipted
	DeliveryOffline
	IDConflict
	TopicsUnheard
	TopicsUnread
	BatchesDenied
	DocumentRefused
	EventRefused
	ClockUnsynced
	ClockUnsyncedNoChip
	ClockByBroker
	ClockByBrokerNoChip
	ClockAhead
	ClockBehind
	ClockJumped
	ClockJumpedBack
	TagConflict
	TagEmergency
	TagBattery
	TagRenamed
	NoClockChip
	CertificateExpired
	CertificateDay
	CertificateWeek
	CertificateMonth
	CAExpired
	CADay
	CAWeek
	CAMonth
	BrokerCertificateExpired
	BrokerCertificateWeek
	BrokerCertificateMonth
	BrokerCertificateMonths
	PowerWeak
	TooHot
	DiskFull
	DiskFilling
	CardDead
	CardFailing
	RosterFileWrong
	RosterRefused
	HoursRefused
	FenceWrong
	RolledBack
	BadgeCAUnusable
	BadgeCAExpired
	BadgeCAExpiring
	BadgeListUnheard
	BadgeListMissing
	BadgeListOld
	BadgeListRefused
	BadgeKeysMissing
	BadgeKeysRefused
	SealKeyUnreadable
	SealKeyExposed
	SealKeyWrong
	SealKeyUncertified
	SealCertificateWrong
	SealCertificateExpired
	SealKeyChanged

	kinds // how many there are
)

// row is what the catalogue says of a kind.
type row struct {
	code   code
	level  Level
	limit  Limit   // where it comes from a number
	outage Failure // what did not work meanwhile; "" where everything did
	id, en string  // what is wrong and what to do
}

// code is the last part of an alert's topic.
type code string

const day = 24 * time.Hour

// row looks a kind up.
func (k Kind) row() row {
	for _, part := range [...]func(Kind) (row, bool){observing, hearing, storing, delivering, timekeeping, certificates, machine, documents, badges, seals} {
		if r, ok := part(k); ok {
			return r
		}
	}
	return row{}
}
