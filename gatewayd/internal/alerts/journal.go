package alerts

import "time"

// storing are the rows about what stores; false for kinds about something else.
func storing(k Kind) (row, bool) {
	switch k {
	case JournalDamaged:
		return row{
			code: "journal-damaged", level: Warn,
			id: "Jurnal rusak saat dibuka ({problem}): {salvaged} data diselamatkan, {lost} hilang. Berkas lama: {file}. Periksa atau ganti kartu SD.",
			en: "The journal was found damaged ({problem}): {salvaged} events were saved, {lost} are lost. The old file: {file}. Check or replace the SD card.",
		}, true
	case JournalClosed:
		return row{
			code: "journal-closed", level: Fault, outage: JournalShut,
			id: "Jurnal tidak dapat dibuka; tap ditolak (lampu merah) sampai disk dapat ditulisi lagi. ({error})",
			en: "The journal cannot be opened; taps are refused (red lamp) until the disk can be written again. ({error})",
		}, true
	case JournalFull:
		return row{
			code: "journal-full", level: Fault, outage: JournalNoRoom,
			id: "Tidak ada tempat untuk mencatat: disk atau jurnal penuh. Tap ditolak (lampu merah). Kosongkan disk atau pulihkan sambungan ke kota.",
			en: "There is no room to record anything: the disk or the journal is full. Taps are refused (red lamp). Free the disk or restore the line to the city.",
		}, true
	case TagsDropped:
		return row{
			// Taps still fit. It stands for the window after the last loss.
			code: "tags-dropped", level: Warn, limit: Limit{Window: time.Hour},
			id: "Jurnal atau disk hampir penuh: data tag yang belum terkirim dibuang agar tap tetap muat (jumlahnya di event/gap). Pulihkan sambungan ke kota, kosongkan disk, atau naikkan max_mb.",
			en: "The journal or the disk is almost full: tag events not delivered yet were dropped to keep room for taps (event/gap counts them). Restore the line to the city, free the disk, or raise max_mb.",
		}, true
	}
	return row{}, false
}
