package alerts

// badges are the rows about badges that prove who they are; false for kinds about something
// else. They share a code: together they say why such badges may not be let in, or lost
// ones may.
func badges(k Kind) (row, bool) {
	switch k {
	case BadgeCAUnusable:
		return badgeCA(Fault,
			"Berkas CA kartu {name} hilang atau tidak dapat dipakai: tidak ada kartu PIV yang dapat membuktikan dirinya. Perbaiki, periksa dengan gatewayd check, lalu: sudo systemctl reload gatewayd. ({error})",
			"The badge CA's file {name} is missing or cannot be used: no PIV badge can prove who it is. Correct it, try gatewayd check, then: sudo systemctl reload gatewayd. ({error})"), true
	case BadgeCAExpired:
		return badgeCA(Fault,
			"CA kartu ({name}) sudah berakhir {end}: kartu PIV yang diterbitkannya ditolak. Taruh CA yang baru di berkas itu dan terbitkan kartu lagi (ca.sh badge).",
			"The badge CA ({name}) has ended at {end}: PIV badges that it issued are refused. Put the new CA into that file, and issue badges anew (ca.sh badge)."), true
	case BadgeCAExpiring:
		r := badgeCA(Warn,
			"CA kartu ({name}) berakhir dalam {days} hari, {end}; sesudah itu kartu PIV ditolak. Tambahkan CA yang baru ke berkas itu sebelumnya.",
			"The badge CA ({name}) ends within {days} days, at {end}; after that PIV badges are refused. Add the new CA to that file before.")
		r.limit = Limit{Raise: 30 * day.Seconds(), Clear: 30 * day.Seconds()} // left until it ends
		return r, true
	case BadgeListUnheard:
		return badgeCA(Hint,
			"Kartu PIV yang hilang tidak dapat diblokir di gateway ini: tanpa city.key_file, daftar kota tidak dapat diperiksa. Tulis city.key_file.",
			"A lost PIV badge cannot be blocked at this gateway: without city.key_file the city's list cannot be checked. Write city.key_file."), true
	case BadgeListMissing:
		return badgeCA(Warn,
			"Daftar kartu yang hilang belum pernah diterima dari topik {name}: kartu yang hilang masih diterima. Terbitkan daftar itu (gatewayd-city badge-revoked --all), juga bila kosong.",
			"The list of lost badges has never come on the topic {name}: a lost badge is still let in. Publish it (gatewayd-city badge-revoked --all), even if it is empty."), true
	case BadgeListOld:
		r := badgeCA(Warn,
			"Daftar kartu yang hilang berumur {days} hari: kartu yang hilang sesudah itu masih diterima. Terbitkan daftar yang baru pada topik {name} (gatewayd-city badge-revoked --all).",
			"The list of lost badges is {days} days old: a badge that was lost since is still let in. Publish a new one on the topic {name} (gatewayd-city badge-revoked --all).")
		r.limit = Limit{Raise: 30 * day.Seconds(), Clear: 30 * day.Seconds()} // its age
		return r, true
	case BadgeListRefused:
		return badgeCA(Warn,
			"Daftar kartu yang hilang pada topik {name} ditolak; yang sebelumnya tetap berlaku. Terbitkan lagi dokumen yang ditandatangani kota, dan periksa siapa yang boleh menulis ke topik itu. ({error})",
			"A list of lost badges on the topic {name}: refused; what was before stays in force. Publish the document that the city signed again, and look who may write to that topic. ({error})"), true
	case BadgeKeysMissing:
		return badgeCA(Fault,
			"Roster meminta kartu membuktikan dirinya dengan kunci (authenticated-desfire), tetapi tidak ada kunci kartu di sini: kartu itu ditolak. Terbitkan kuncinya pada topik {name}.",
			"The roster asks badges to prove themselves by a key (authenticated-desfire), and there are no keys of badges here: they are refused. Publish the keys on the topic {name}."), true
	case BadgeKeysRefused:
		return badgeCA(Warn,
			"Kunci kartu pada topik {name} tidak dapat dipakai; yang sebelumnya tetap berlaku. Segel lagi untuk sertifikat gateway ini, dan terbitkan dengan tanda tangan kota. ({error})",
			"Keys of badges on the topic {name} cannot be used; what was before stays in force. Seal them again to this gateway's certificate, and publish them with the city's signature. ({error})"), true
	}
	return row{}, false
}

func badgeCA(level Level, id, en string) row {
	return row{code: "badge-ca", level: level, id: id, en: en}
}
