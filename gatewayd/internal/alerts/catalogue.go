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
	TaskFailing
	LampBroken
	JournalDamaged
	JournalClosed
	JournalFull
	TagsDropped
	BrokerAway
	DeliveryUnconfirmed
	DeliveryOffline
	IDConflict
	TopicsUnheard
	TopicsUnread
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
	switch k {
	case ReaderDead:
		return row{
			code: "reader-<name>", level: Fault, outage: ReaderBroken,
			id: `Pembaca kartu "{name}" tidak menjawab. Periksa kabel, catu daya dan SPI. ({error})`,
			en: `Badge reader "{name}" does not answer. Check wiring, power and SPI. ({error})`,
		}
	case ReaderDeaf:
		return row{
			code: "reader-<name>", level: Fault, outage: ReaderBroken,
			id: `Pembaca kartu "{name}" menjawab tetapi tidak dapat membaca kartu. Cabut dan pasang kembali, atau ganti. ({error})`,
			en: `Badge reader "{name}" answers but cannot read cards. Reconnect or replace it. ({error})`,
		}
	case ReaderWeak:
		return row{
			// The share of looks that miss a card which lies there: the looks before
			// and after see it. The edge of the field costs a look or two of a tap;
			// more than that is the antenna's or the wiring's.
			code: "reader-weak-<name>", level: Warn,
			limit: Limit{Raise: 0.05, Clear: 0.025, Window: time.Hour, Least: 20},
			id:    `Pembaca kartu "{name}" sering kehilangan kartu yang masih ditempelkan ({bad} dari {all} pembacaan dalam satu jam). Periksa kabel, catu daya, logam di dekat antena, dan gain_db.`,
			en:    `Badge reader "{name}" often loses a card that is held to it ({bad} of {all} looks within an hour). Check wiring, power, metal near the antenna, and gain_db.`,
		}
	case ReaderSilent:
		return row{
			// Working hours without a card. Two days: one may be a holiday that
			// nobody has listed.
			code: "reader-silent-<name>", level: Warn, limit: Limit{Raise: 16, Clear: 1},
			id: `Pembaca kartu "{name}" tidak melihat kartu selama {hours} jam kerja, padahal sebelumnya ada. Coba dengan sebuah kartu; bila tidak terbaca, periksa antena dan kabel.`,
			en: `Badge reader "{name}" has seen no card for {hours} working hours, although there were some before. Try one; if it is not read, check antenna and wiring.`,
		}
	case ReceiverGone:
		return row{
			code: "receiver-<name>", level: Warn, outage: ReceiverLost,
			id: `Penerima tag "{name}" tidak terhubung. Periksa kabel USB atau porta serial. ({error})`,
			en: `Tag receiver "{name}" is not connected. Check its USB cable or serial port. ({error})`,
		}
	case ReceiverNoisy:
		return row{
			// The number is the share of frames that are rejected. A receiver that
			// is connected hears what arrives whole: this is no outage.
			code: "receiver-noisy-<name>", level: Warn,
			limit: Limit{Raise: 0.5, Clear: 0.25, Window: 10 * time.Minute, Newest: 200, Least: 100},
			id:    `Penerima tag "{name}" terhubung, tetapi sebagian besar datanya rusak ({bad} dari {all} yang terakhir). Periksa protokol, baud dan antena.`,
			en:    `Tag receiver "{name}" is connected, but sends mostly damaged data ({bad} of the last {all}). Check protocol, baud rate and antenna.`,
		}
	case TaskFailing:
		return row{
			code: "task-<name>", level: Fault, outage: TaskDead,
			id: `Bagian gateway "{name}" gagal terus-menerus dan dijalankan ulang. Hubungi pembuatnya dengan keluaran: journalctl -u gatewayd. ({error})`,
			en: `The gateway's task "{name}" fails again and again and is started anew. Tell its makers what journalctl -u gatewayd says. ({error})`,
		}
	case LampBroken:
		return row{
			code: "lamp", level: Warn,
			id: "Lampu atau buzzer tidak dapat dinyalakan; tap tetap dicatat. ({error})",
			en: "Lamp or buzzer cannot be driven; taps are recorded all the same. ({error})",
		}
	case JournalDamaged:
		return row{
			code: "journal-damaged", level: Warn,
			id: "Jurnal rusak saat dibuka ({problem}): {salvaged} data diselamatkan, {lost} hilang. Berkas lama: {file}. Periksa atau ganti kartu SD.",
			en: "The journal was found damaged ({problem}): {salvaged} events were saved, {lost} are lost. The old file: {file}. Check or replace the SD card.",
		}
	case JournalClosed:
		return row{
			code: "journal-closed", level: Fault, outage: JournalShut,
			id: "Jurnal tidak dapat dibuka; tap ditolak (lampu merah) sampai disk dapat ditulisi lagi. ({error})",
			en: "The journal cannot be opened; taps are refused (red lamp) until the disk can be written again. ({error})",
		}
	case JournalFull:
		return row{
			code: "journal-full", level: Fault, outage: JournalNoRoom,
			id: "Tidak ada tempat untuk mencatat: disk atau jurnal penuh. Tap ditolak (lampu merah). Kosongkan disk atau pulihkan sambungan ke kota.",
			en: "There is no room to record anything: the disk or the journal is full. Taps are refused (red lamp). Free the disk or restore the line to the city.",
		}
	case TagsDropped:
		return row{
			// Taps still fit. It stands for the window after the last loss.
			code: "tags-dropped", level: Warn, limit: Limit{Window: time.Hour},
			id: "Jurnal atau disk hampir penuh: data tag yang belum terkirim dibuang agar tap tetap muat (jumlahnya di event/gap). Pulihkan sambungan ke kota, kosongkan disk, atau naikkan max_mb.",
			en: "The journal or the disk is almost full: tag events not delivered yet were dropped to keep room for taps (event/gap counts them). Restore the line to the city, free the disk, or raise max_mb.",
		}
	case BrokerAway:
		return row{
			// Seconds without a line: a broker's restart is not worth a call. A
			// line that is back makes it 0.
			code: "broker-away", level: Warn, limit: Limit{Raise: 300, Clear: 1},
			id: "Tidak ada sambungan ke kota. Tap tetap dicatat; periksa kabel jaringan, router dan broker. ({error})",
			en: "There is no line to the city. Taps are recorded all the same; check network cable, router and broker. ({error})",
		}
	case DeliveryUnconfirmed:
		return row{
			// Seconds that the oldest event waits.
			code: "delivery-late", level: Warn, limit: Limit{Raise: 300, Clear: 60},
			id: "{pending} data menunggu dikirim, yang tertua sejak {minutes} menit (tersambung tetapi tidak mengonfirmasi: {error}). Data aman di gateway; periksa jaringan dan broker.",
			en: "{pending} events wait to be delivered, the oldest for {minutes} minutes (connected but not confirming: {error}). They are safe on the gateway; check network and broker.",
		}
	case DeliveryOffline:
		return row{
			code: "delivery-late", level: Warn, limit: DeliveryUnconfirmed.Limit(),
			id: "{pending} data menunggu dikirim, yang tertua sejak {minutes} menit (tidak tersambung: {error}). Data aman di gateway; periksa jaringan dan broker.",
			en: "{pending} events wait to be delivered, the oldest for {minutes} minutes (not connected: {error}). They are safe on the gateway; check network and broker.",
		}
	case IDConflict:
		return row{
			code: "id-conflict", level: Fault,
			id: `Gateway lain memakai id "{name}". Keduanya saling memutus sambungan; ubah gateway.id salah satunya.`,
			en: `Another gateway uses the id "{name}". The two throw each other off the broker; change gateway.id of one.`,
		}
	case TopicsUnheard:
		return row{
			code: "topics-denied", level: Fault,
			id: "Broker menerima pesan gateway ini tetapi tidak meneruskannya: ACL broker tidak mengizinkan topiknya, data dapat hilang di broker. Perbaiki ACL, lalu minta resync.",
			en: "The broker takes this gateway's messages but does not pass them on: its ACL denies the gateway's topics, and events may be lost at the broker. Mend the ACL, then ask for a resync.",
		}
	case TopicsUnread:
		return row{
			code: "topics-denied", level: Warn,
			id: "Broker tidak mengizinkan gateway ini membaca topik: {name}. Periksa ACL broker.",
			en: "The broker does not let this gateway read the topics: {name}. Check the broker's ACL.",
		}
	case DocumentRefused:
		return row{
			code: "document-refused", level: Warn,
			id: "Broker memutus sambungan bila menerima {name} ({bytes} byte), jadi itu tidak dikirim; data lain tetap jalan. Naikkan batas ukuran pesan di broker (mosquitto: max_packet_size) atau izinkan topiknya (ACL); dicoba lagi berkala.",
			en: "The broker hangs up over {name} ({bytes} bytes), so that is not published; everything else goes on. Raise the broker's limit for messages (mosquitto: max_packet_size) or allow the topic (ACL); it is tried again now and then.",
		}
	case EventRefused:
		return row{
			// What follows it may not pass it, but for taps.
			code: "event-refused", level: Fault,
			id: "Broker memutus sambungan bila menerima data {name} ({bytes} byte). Data itu dan yang sesudahnya menunggu di gateway, kecuali tap. Naikkan batas ukuran pesan di broker (mosquitto: max_packet_size) atau izinkan topiknya (ACL); dicoba lagi berkala.",
			en: "The broker hangs up over the event {name} ({bytes} bytes). It and what follows it wait on the gateway, but for taps. Raise the broker's limit for messages (mosquitto: max_packet_size) or allow the topic (ACL); it is tried again now and then.",
		}
	case ClockUnsynced:
		return row{
			// Seconds since the system's clock was last disciplined; a clock that
			// is set makes it 0.
			code: "clock-unsynced", level: Warn, limit: Limit{Raise: 4 * 3600, Clear: 1},
			id: "Jam tidak disinkronkan sejak {hours} jam. Data dicatat, waktunya dikoreksi nanti. Periksa NTP (UDP 123) di jaringan.",
			en: "Nothing has set the clock right for {hours} hours. Events are recorded, and their times corrected later. Check NTP (UDP 123) in the network.",
		}
	case ClockUnsyncedNoChip:
		return row{
			code: "clock-unsynced", level: Warn, limit: ClockUnsynced.Limit(),
			id: "Jam tidak disinkronkan sejak {hours} jam. Data dicatat, waktunya dikoreksi nanti. Periksa NTP (UDP 123) di jaringan. Tidak ada cip jam (RTC); pasang DS3231.",
			en: "Nothing has set the clock right for {hours} hours. Events are recorded, and their times corrected later. Check NTP (UDP 123) in the network. There is no clock chip (RTC); fit a DS3231.",
		}
	case ClockByBroker:
		return row{
			code: "clock-unsynced", level: Hint, limit: ClockUnsynced.Limit(),
			id: "Jam tidak disinkronkan sejak {hours} jam. Waktu diketahui dari broker. Periksa NTP (UDP 123) di jaringan.",
			en: "Nothing has set the clock right for {hours} hours. The time is known from the broker. Check NTP (UDP 123) in the network.",
		}
	case ClockByBrokerNoChip:
		return row{
			code: "clock-unsynced", level: Hint, limit: ClockUnsynced.Limit(),
			id: "Jam tidak disinkronkan sejak {hours} jam. Waktu diketahui dari broker. Periksa NTP (UDP 123) di jaringan. Tidak ada cip jam (RTC); pasang DS3231.",
			en: "Nothing has set the clock right for {hours} hours. The time is known from the broker. Check NTP (UDP 123) in the network. There is no clock chip (RTC); fit a DS3231.",
		}
	case ClockAhead:
		return row{
			// Seconds between the system's clock and the city's.
			code: "clock-disagrees", level: Warn, limit: Limit{Raise: 2, Clear: 1.5},
			id: "Jam sistem {off} lebih cepat dari jam kota, padahal merasa sinkron. Periksa server NTP gateway ini dan jam di kota; waktu tap memuat ketidakpastian itu.",
			en: "The system's clock is {off} ahead of the city's, although it claims to be in sync. Check this gateway's NTP server and the clock at the city; the times of taps allow for both.",
		}
	case ClockBehind:
		return row{
			code: "clock-disagrees", level: Warn, limit: ClockAhead.Limit(),
			id: "Jam sistem {off} lebih lambat dari jam kota, padahal merasa sinkron. Periksa server NTP gateway ini dan jam di kota; waktu tap memuat ketidakpastian itu.",
			en: "The system's clock is {off} behind the city's, although it claims to be in sync. Check this gateway's NTP server and the clock at the city; the times of taps allow for both.",
		}
	case ClockJumped:
		return row{
			code: "clock-jumped", level: Warn,
			id: "Jam sistem melompat: sekarang menunjukkan {shows}, padahal menurut yang diketahui sebelumnya {passed}. Belum jelas mana yang benar; waktu tap memuat keduanya sampai ada sumber ketiga. Periksa server NTP gateway ini.",
			en: "The system's clock has jumped: it shows {shows}, and by what was known before it is {passed}. Nobody knows yet which is right; the times of taps allow for both until a third source agrees with one. Check this gateway's NTP server.",
		}
	case ClockJumpedBack:
		return row{
			code: "clock-jumped", level: Warn,
			id: "Jam sistem menunjukkan waktu yang salah untuk sementara. Mana yang benar kini diketahui, dan waktu tap dikoreksi. Periksa server NTP gateway ini.",
			en: "The system's clock showed a wrong time for a while. It is known by now which was right, and the times of taps are corrected. Check this gateway's NTP server.",
		}
	case TagConflict:
		return row{
			code: "tag-conflict", level: Warn,
			id: "Tag {name} terdengar bergantian di dua tempat yang tidak mungkin dicapai satu orang: ada pemancar lain yang memakai nomornya. Posisinya dianggap tidak pasti, dan tidak dipakai untuk atau terhadap siapa pun. Cari pemancar itu, atau ganti nomor tag.",
			en: "Tag {name} is heard in turn at two places that one person cannot both be at: another transmitter uses its id. Where it is counts as uncertain, for nobody and against nobody. Look for that transmitter, or give the tag another id.",
		}
	case NoClockChip:
		return row{
			code: "no-rtc", level: Hint, // that the time is unknown is told elsewhere
			id: "Gateway ini tidak mempunyai cip jam (RTC). Dengan DS3231 waktu tetap diketahui setelah listrik padam.",
			en: "This gateway has no clock chip. With a DS3231 the time stays known after a power cut.",
		}
	case CertificateExpired:
		return row{
			code: "certificate-expired", level: Fault,
			id: "Sertifikat gateway ({name}) sudah berakhir {end}. Sambungan ke broker ditolak; perbarui sertifikat.",
			en: "The gateway's certificate ({name}) has ended at {end}. No line to the broker is possible; renew it.",
		}
	case CertificateDay:
		return expiring("certificate", Fault, 1, "Sertifikat gateway", "The gateway's certificate")
	case CertificateWeek:
		return expiring("certificate", Warn, 7, "Sertifikat gateway", "The gateway's certificate")
	case CertificateMonth:
		return expiring("certificate", Warn, 30, "Sertifikat gateway", "The gateway's certificate")
	case CAExpired:
		return row{
			code: "ca-expired", level: Fault,
			id: "Sertifikat CA kota ({name}) sudah berakhir {end}. Sambungan ke broker ditolak; perbarui sertifikat.",
			en: "The certificate of the city's CA ({name}) has ended at {end}. No line to the broker is possible; renew it.",
		}
	case CADay:
		return expiring("ca", Fault, 1, "Sertifikat CA kota", "The certificate of the city's CA")
	case CAWeek:
		return expiring("ca", Warn, 7, "Sertifikat CA kota", "The certificate of the city's CA")
	case CAMonth:
		return expiring("ca", Warn, 30, "Sertifikat CA kota", "The certificate of the city's CA")
	case BrokerCertificateExpired:
		return row{
			code: "broker-certificate", level: Fault,
			id: "Sertifikat broker ({name}) sudah berakhir {end}. Tidak ada gateway yang dapat tersambung lagi; perbarui sertifikat broker di kota (ca.sh renew, lihat BROKER.md).",
			en: "The broker's certificate ({name}) has ended at {end}. No gateway can connect any more; renew the broker's certificate in the city (ca.sh renew, see BROKER.md).",
		}
	case BrokerCertificateWeek:
		return brokerExpiring(Fault, 7)
	case BrokerCertificateMonth:
		return brokerExpiring(Warn, 30)
	case BrokerCertificateMonths:
		return brokerExpiring(Hint, 60)
	case PowerWeak:
		return row{
			// A dip stays an alert for the window.
			code: "undervoltage", level: Warn, limit: Limit{Window: 10 * time.Minute},
			id: "Catu daya terlalu lemah: Pi dapat berhenti dan merusak kartu SD. Pakai catu daya resmi dan kabel pendek.",
			en: "The supply is too weak: the Pi may stop and damage its SD card. Use the official power supply and a short cable.",
		}
	case TooHot:
		return row{
			// Degrees Celsius: at 80 a Pi begins to slow down.
			code: "throttled", level: Warn, limit: Limit{Raise: 80, Clear: 79.5},
			id: "Prosesor diperlambat karena panas. Beri ventilasi pada kotak, atau pasang pendingin.",
			en: "The processor is slowed down because it is hot. Give the case air, or fit a cooler.",
		}
	case DiskFull:
		return row{
			// Bytes left: with less a Pi soon fails in other ways.
			code: "disk-low", level: Fault, limit: Limit{Raise: 64 << 20, Clear: 72 << 20},
			id: "Disk hampir penuh (kurang dari 64 MB). Kosongkan: sudo journalctl --vacuum-size=50M && sudo apt-get clean.",
			en: "The disk is almost full (less than 64 MB). Make room: sudo journalctl --vacuum-size=50M && sudo apt-get clean.",
		}
	case DiskFilling:
		return row{
			// Days left at the pace of the last one.
			code: "disk-low", level: Warn, limit: Limit{Raise: 7, Clear: 8},
			id: "Disk akan penuh dalam kurang dari 7 hari. Cari penyebabnya (sudo du -xh / | sort -h | tail) dan kosongkan.",
			en: "The disk will be full in less than 7 days. Find out by what (sudo du -xh / | sort -h | tail), and make room.",
		}
	case CardDead:
		return row{
			code: "sd-errors", level: Fault,
			id: "Kartu SD rusak dan hanya dapat dibaca lagi. Ganti kartu SD sekarang.",
			en: "The SD card fails and can only be read any more. Replace the SD card now.",
		}
	case CardFailing:
		return row{
			code: "sd-errors", level: Warn,
			id: "Sistem berkas mencatat galat pada kartu SD. Segera ganti kartu SD.",
			en: "The file system has recorded errors of the SD card. Replace the SD card soon.",
		}
	case FenceWrong:
		return row{
			code: "fence", level: Warn,
			id: "Berkas pagar {name} salah atau tidak terbaca: gateway berjalan tanpa pagar, jadi tidak diketahui siapa yang ada di kantor. Perbaiki, periksa dengan gatewayd check, lalu: sudo systemctl reload gatewayd. ({error})",
			en: "The fence's file {name} is wrong or cannot be read: the gateway runs without a fence, so nobody knows who is in the office. Correct it, try gatewayd check, then: sudo systemctl reload gatewayd. ({error})",
		}
	case RosterFileWrong:
		return row{
			code: "roster", level: Warn,
			id: "Berkas roster salah dan tidak dipakai; roster sebelumnya tetap berlaku. Perbaiki {name}, periksa dengan gatewayd check. ({error})",
			en: "The roster file is wrong and not in use; the roster before it stays in force. Correct {name} and try gatewayd check. ({error})",
		}
	case RosterRefused:
		return row{
			code: "roster-refused", level: Warn,
			id: "Roster pada topik {name} ditolak; yang sebelumnya tetap berlaku. Terbitkan lagi dokumen yang ditandatangani kota, dan periksa siapa yang boleh menulis ke topik itu. ({error})",
			en: "A roster on the topic {name}: refused; what was before stays in force. Publish the document that the city signed again, and look who may write to that topic. ({error})",
		}
	case HoursRefused:
		return row{
			code: "hours-refused", level: Warn,
			id: "Jam kerja pada topik {name} ditolak; yang sebelumnya tetap berlaku. Terbitkan lagi dokumen yang ditandatangani kota, dan periksa siapa yang boleh menulis ke topik itu. ({error})",
			en: "Working hours on the topic {name}: refused; what was before stays in force. Publish the document that the city signed again, and look who may write to that topic. ({error})",
		}
	}
	return row{}
}

// expiring is the row of a certificate that ends within some days.
func expiring(which code, level Level, days float64, id, en string) row {
	return row{
		code: which + "-expiring", level: level,
		limit: Limit{Raise: days * day.Seconds(), Clear: days * day.Seconds()}, // left until it ends
		id:    id + " ({name}) berakhir dalam {days} hari, {end}. Perbarui sebelum itu.",
		en:    en + " ({name}) ends within {days} days, at {end}. Renew it before.",
	}
}

// brokerExpiring is the row of a broker whose certificate ends within some days.
// On that day every gateway of the city loses its line at once.
func brokerExpiring(level Level, days float64) row {
	return row{
		code: "broker-certificate", level: level,
		limit: Limit{Raise: days * day.Seconds(), Clear: days * day.Seconds()}, // left until it ends
		id:    "Sertifikat broker ({name}) berakhir dalam {days} hari, {end}; sesudah itu tidak ada gateway yang dapat tersambung. Perbarui di kota (ca.sh renew, lihat BROKER.md).",
		en:    "The broker's certificate ({name}) ends within {days} days, at {end}; after that no gateway can connect. Renew it in the city (ca.sh renew, see BROKER.md).",
	}
}

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
