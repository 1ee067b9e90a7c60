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
	case JournalRolledBack:
		return row{
			code: "journal-rolled-back", level: Fault,
			id: "Kota telah menerima data {event}, tetapi jurnal gateway ini tidak memuatnya: kartu SD atau gateway diganti, salinan lama jurnal dipasang kembali, atau data terbarunya dihapus. Bila diganti oleh Anda, kirim isi kartu lama dengan gatewayd deliver. Bila bukan, simpan kartu ini sebagai bukti dan ganti: kartu itu dapat kehilangan data, atau ada yang mengubahnya. Pencatatan berjalan terus.",
			en: "The city has received event {event}, and the journal of this gateway does not have it: the SD card or the gateway was replaced, an old copy of the journal was put back, or its newest events were removed. If it was you who replaced it, send what is on the old card with gatewayd deliver. If not, keep this card as evidence and replace it: it may lose data, or somebody changes it. Recording goes on.",
		}, true
	case JournalForked:
		return row{
			code: "journal-forked", level: Fault,
			id: "Kota menyimpan data lain dengan nomor {event} daripada jurnal gateway ini: ada yang mengirim atas nama gateway ini, atau mengubah data di jurnal atau di kota. Bandingkan nomor itu di kota dengan gatewayd export, jalankan gatewayd verify, dan periksa siapa yang dapat menulis ke topik gateway ini di broker. Pencatatan berjalan terus.",
			en: "The city has another event under the number {event} than the journal of this gateway: somebody sends in this gateway's name, or has changed the event in the journal or in the city. Compare that number in the city with gatewayd export, run gatewayd verify, and check who can write to this gateway's topics at the broker. Recording goes on.",
		}, true
	case JournalForeign:
		return row{
			code: "journal-foreign", level: Fault,
			id: "Di folder gateway ini ada jurnal gateway lain ({name}). Jurnal itu dipindahkan ke {file} dan tidak diubah; gateway ini mencatat di jurnal baru. Bila kartu tertukar, tukar kembali. Yang belum terkirim dari {name} dikirim dengan gatewayd deliver --state {file}.",
			en: "The journal of another gateway ({name}) was in this gateway's folder. It was moved to {file} unchanged, and this gateway records into a new one. If cards were mixed up, put them back. What {name} has not sent yet goes out with gatewayd deliver --state {file}.",
		}, true
	case JournalAltered:
		return row{
			code: "journal-altered", level: Fault,
			id: "Data yang belum terkirim di kartu SD ini diubah saat gateway mati: {problem}. Semua tetap dikirim apa adanya, dan pemeriksaan kota (audit) menandainya. Jalankan gatewayd verify, cari tahu siapa yang memegang kartu ini, dan simpan sebagai bukti. Pencatatan berjalan terus.",
			en: "Events on this SD card that wait for delivery were changed while the gateway did not run: {problem}. All are delivered as they are, and the city's audit marks them. Run gatewayd verify, find out who had this card, and keep it as evidence. Recording goes on.",
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
