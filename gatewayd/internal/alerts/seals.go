package alerts

// seals are the rows about the key with which the gateway seals its journal; false for
// kinds about something else. They share a code.
func seals(k Kind) (row, bool) {
	switch k {
	case SealKeyUnreadable:
		return sealKey(Fault,
			"Kunci segel {name} hilang atau tidak dapat dibaca: data tetap dicatat dan dikirim, tetapi tanpa segel. Kembalikan berkas itu dengan pemilik gatewayd dan mode 0600; bila hilang, buat kunci baru (gatewayd-provision seal-key) dan minta sertifikatnya dari kota. ({error})",
			"The seal key {name} is missing or cannot be read: events are recorded and delivered, but not sealed. Put the file back, owned by gatewayd and with mode 0600; if it is lost, make a new key (gatewayd-provision seal-key) and have the city certify it. ({error})"), true
	case SealKeyExposed:
		return sealKey(Fault,
			"Kunci segel {name} dapat dibaca pengguna lain, jadi tidak dipakai: data tetap dicatat dan dikirim, tetapi tanpa segel. Jalankan sudo chmod 600 {name}; bila mungkin sudah disalin orang, buat kunci baru (gatewayd-provision seal-key). ({error})",
			"The seal key {name} can be read by others, so it is not used: events are recorded and delivered, but not sealed. Run sudo chmod 600 {name}; if somebody may have copied it, make a new key (gatewayd-provision seal-key). ({error})"), true
	case SealKeyWrong:
		return sealKey(Fault,
			"Berkas {name} tidak memuat kunci Ed25519 yang dapat dipakai: data tetap dicatat dan dikirim, tetapi tanpa segel. Kembalikan kunci yang benar, atau buat yang baru (gatewayd-provision seal-key) dan minta sertifikatnya dari kota. ({error})",
			"The file {name} holds no usable Ed25519 key: events are recorded and delivered, but not sealed. Put the right key back, or make a new one (gatewayd-provision seal-key) and have the city certify it. ({error})"), true
	case SealKeyUncertified:
		return sealKey(Warn,
			"Kunci segel {name} belum disertifikasi kota: data disegel, tetapi orang lain belum dapat mengetahui milik siapa kuncinya. Minta sertifikatnya (ca.sh sign) dan pasang sebagai seal.cert_file. ({error})",
			"The city has not certified the seal key {name} yet: events are sealed, but nobody else can know whose key that is. Ask for its certificate (ca.sh sign) and install it as seal.cert_file. ({error})"), true
	case SealCertificateWrong:
		return sealKey(Warn,
			"Sertifikat kunci segel {name} bukan untuk kunci gateway ini: data disegel, tetapi orang lain tidak dapat mengetahui milik siapa kuncinya. Pasang sertifikat yang diterbitkan kota untuk kunci ini, atau minta lagi (ca.sh sign). ({error})",
			"The seal key's certificate {name} is not one of this gateway's key: events are sealed, but nobody else can know whose key that is. Install the certificate that the city issued for this key, or ask for another (ca.sh sign). ({error})"), true
	case SealCertificateExpired:
		return sealKey(Warn,
			"Sertifikat kunci segel {name} sudah berakhir: data tetap disegel, tetapi segel yang baru tidak lagi dibuktikan oleh kota. Minta sertifikat baru untuk kunci yang sama (ca.sh sign). ({error})",
			"The seal key's certificate {name} has ended: events are sealed, but the city no longer vouches for new seals. Ask for a new certificate of the same key (ca.sh sign). ({error})"), true
	case SealKeyChanged:
		return sealKey(Fault,
			"Kunci segel {name} bukan kunci yang menyegel jurnal sebelumnya, dan kota belum mensertifikasi yang baru. Bila kunci memang diganti, minta sertifikatnya (ca.sh sign); bila tidak, seseorang menukarnya: kembalikan yang lama dan periksa mesin ini. ({error})",
			"The seal key {name} is another than the one that sealed the journal before, and the city has not certified it. If it was replaced on purpose, have it certified (ca.sh sign); if not, somebody has exchanged it: put the old one back and look into this machine. ({error})"), true
	}
	return row{}, false
}

func sealKey(level Level, id, en string) row {
	return row{code: "seal-key", level: level, id: id, en: en}
}
