package alerts

import "time"

// observing are the rows about what observes: readers, and the tasks and the lamp that
// serve them and the receivers; false for kinds about something else.
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
	}
	return row{}, false
}
