package alerts

import "time"

// observing are the rows about what observes: readers, receivers, and the tasks and the lamp that serve them; false for kinds about something else.
func observing(k Kind) (row, bool) {
	switch k {
	case ReaderDead:
		return row{
			code: "reader-<name>", level: Fault, outage: ReaderBroken,
			id: `Pembaca kartu "{name}" tidak menjawab. Periksa kabel, catu daya dan SPI. ({error})`,
			en: `Badge reader "{name}" does not answer. Check wiring, power and SPI. ({error})`,
		}, true
	case ReaderDeaf:
		return row{
			code: "reader-<name>", level: Fault, outage: ReaderBroken,
			id: `Pembaca kartu "{name}" menjawab tetapi tidak dapat membaca kartu. Cabut dan pasang kembali, atau ganti. ({error})`,
			en: `Badge reader "{name}" answers but cannot read cards. Reconnect or replace it. ({error})`,
		}, true
	case ReaderWeak:
		return row{
			// The share of looks that miss a card which lies there: the looks before
			// and after see it. The edge of the field costs a look or two of a tap;
			// more than that is the antenna's or the wiring's.
			code: "reader-weak-<name>", level: Warn,
			limit: Limit{Raise: 0.05, Clear: 0.025, Window: time.Hour, Least: 20},
			id:    `Pembaca kartu "{name}" sering kehilangan kartu yang masih ditempelkan ({bad} dari {all} pembacaan dalam satu jam). Periksa kabel, catu daya, logam di dekat antena, dan gain_db.`,
			en:    `Badge reader "{name}" often loses a card that is held to it ({bad} of {all} looks within an hour). Check wiring, power, metal near the antenna, and gain_db.`,
		}, true
	case ReaderSilent:
		return row{
			// Working hours without a card. Two days: one may be a holiday that
			// nobody has listed.
			code: "reader-silent-<name>", level: Warn, limit: Limit{Raise: 16, Clear: 1},
			id: `Pembaca kartu "{name}" tidak melihat kartu selama {hours} jam kerja, padahal sebelumnya ada. Coba dengan sebuah kartu; bila tidak terbaca, periksa antena dan kabel.`,
			en: `Badge reader "{name}" has seen no card for {hours} working hours, although there were some before. Try one; if it is not read, check antenna and wiring.`,
		}, true
	case ReceiverGone:
		return row{
			code: "receiver-<name>", level: Warn, outage: ReceiverLost,
			id: `Penerima tag "{name}" tidak terhubung. Periksa kabel USB atau porta serial. ({error})`,
			en: `Tag receiver "{name}" is not connected. Check its USB cable or serial port. ({error})`,
		}, true
	case ReceiverNoisy:
		return row{
			// The number is the share of frames that are rejected. A receiver that
			// is connected hears what arrives whole: this is no outage.
			code: "receiver-noisy-<name>", level: Warn,
			limit: Limit{Raise: 0.5, Clear: 0.25, Window: 10 * time.Minute, Newest: 200, Least: 100},
			id:    `Penerima tag "{name}" terhubung, tetapi sebagian besar datanya rusak ({bad} dari {all} yang terakhir). Periksa protokol, baud dan antena.`,
			en:    `Tag receiver "{name}" is connected, but sends mostly damaged data ({bad} of the last {all}). Check protocol, baud rate and antenna.`,
		}, true
	case ReceiverPayload:
		return row{
			code: "receiver-payload-<name>", level: Warn,
			id: `Tag yang didengar penerima "{name}" mengirim posisi dalam bentuk lain daripada yang diatur. Atur receiver.payload ("rmc", "latlon" atau "json") sesuai tag, atau perbaiki tag.`,
			en: `Tags that receiver "{name}" hears send their position in another form than it is configured for. Set receiver.payload ("rmc", "latlon" or "json") to what they send, or mend the tags.`,
		}, true
	case TaskFailing:
		return row{
			code: "task-<name>", level: Fault, outage: TaskDead,
			id: `Bagian gateway "{name}" gagal terus-menerus dan dijalankan ulang. Hubungi pembuatnya dengan keluaran: journalctl -u gatewayd. ({error})`,
			en: `The gateway's task "{name}" fails again and again and is started anew. Tell its makers what journalctl -u gatewayd says. ({error})`,
		}, true
	case LampBroken:
		return row{
			code: "lamp", level: Warn,
			id: "Lampu atau buzzer tidak dapat dinyalakan; tap tetap dicatat. ({error})",
			en: "Lamp or buzzer cannot be driven; taps are recorded all the same. ({error})",
		}, true
	case TagConflict:
		return row{
			code: "tag-conflict", level: Warn,
			id: "Tag {name} terdengar bergantian di dua tempat yang tidak mungkin dicapai satu orang: ada pemancar lain yang memakai nomornya. Posisinya dianggap tidak pasti, dan tidak dipakai untuk atau terhadap siapa pun. Cari pemancar itu, atau ganti nomor tag.",
			en: "Tag {name} is heard in turn at two places that one person cannot both be at: another transmitter uses its id. Where it is counts as uncertain, for nobody and against nobody. Look for that transmitter, or give the tag another id.",
		}, true
	case TagEmergency:
		return row{
			code: "tag-emergency", level: Warn,
			id: "Tag {name} meminta tolong: pembawanya menekan tombol darurat, atau tergeletak tanpa bergerak. Hubungi pembawanya sekarang.",
			en: "Tag {name} calls for help: its carrier has pressed the emergency key, or lies still. Reach its carrier now.",
		}, true
	}
	return row{}, false
}
