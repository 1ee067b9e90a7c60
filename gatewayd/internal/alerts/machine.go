package alerts

import "time"

// machine are the rows about the machine; false for kinds about something else.
func machine(k Kind) (row, bool) {
	switch k {
	case PowerWeak:
		return row{
			// A dip stays an alert for the window.
			code: "undervoltage", level: Warn, limit: Limit{Window: 10 * time.Minute},
			id: "Catu daya terlalu lemah: Pi dapat berhenti dan merusak kartu SD. Pakai catu daya resmi dan kabel pendek.",
			en: "The supply is too weak: the Pi may stop and damage its SD card. Use the official power supply and a short cable.",
		}, true
	case TooHot:
		return row{
			// Degrees Celsius: at 80 a Pi begins to slow down.
			code: "throttled", level: Warn, limit: Limit{Raise: 80, Clear: 79.5},
			id: "Prosesor diperlambat karena panas. Beri ventilasi pada kotak, atau pasang pendingin.",
			en: "The processor is slowed down because it is hot. Give the case air, or fit a cooler.",
		}, true
	case DiskFull:
		return row{
			// Bytes left: with less a Pi soon fails in other ways.
			code: "disk-low", level: Fault, limit: Limit{Raise: 64 << 20, Clear: 72 << 20},
			id: "Disk hampir penuh (kurang dari 64 MB). Kosongkan: sudo journalctl --vacuum-size=50M && sudo apt-get clean.",
			en: "The disk is almost full (less than 64 MB). Make room: sudo journalctl --vacuum-size=50M && sudo apt-get clean.",
		}, true
	case DiskFilling:
		return row{
			// Days left at the pace of the last one.
			code: "disk-low", level: Warn, limit: Limit{Raise: 7, Clear: 8},
			id: "Disk akan penuh dalam kurang dari 7 hari. Cari penyebabnya (sudo du -xh / | sort -h | tail) dan kosongkan.",
			en: "The disk will be full in less than 7 days. Find out by what (sudo du -xh / | sort -h | tail), and make room.",
		}, true
	case CardDead:
		return row{
			code: "sd-errors", level: Fault,
			id: "Kartu SD rusak dan hanya dapat dibaca lagi. Ganti kartu SD sekarang.",
			en: "The SD card fails and can only be read any more. Replace the SD card now.",
		}, true
	case CardFailing:
		return row{
			// Errors on record; only a repair of the file system takes them back.
			code: "sd-errors", level: Warn, limit: Limit{Raise: 1, Clear: 1},
			id: "Sistem berkas mencatat galat pada kartu SD. Segera ganti kartu SD.",
			en: "The file system has recorded errors of the SD card. Replace the SD card soon.",
		}, true
	case RolledBack:
		return row{
			code: "rolled-back", level: Warn,
			id: "Versi {version} tidak siap dalam tiga menit dan dibatalkan; versi sebelumnya ({back}) dipakai lagi. Lihat journalctl -u gatewayd, lalu pasang versi yang berfungsi.",
			en: "Version {version} did not get ready within three minutes and was rolled back; the version before ({back}) is in use again. See journalctl -u gatewayd, then install a version that works.",
		}, true
	}
	return row{}, false
}
