package alerts

import "time"

// hearing are the rows about receivers and tags; false for kinds about something else.
func hearing(k Kind) (row, bool) {
	switch k {
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
	case ReceiverKey:
		return row{
			code: "receiver-key-<name>", level: Warn,
			id: `Penerima tag "{name}" hanya menerima paket yang tidak dapat dibukanya: kunci kanalnya bukan kunci tag. Atur kanal 0 radio ini sama dengan tag.`,
			en: `Tag receiver "{name}" hears only packets that it cannot decrypt: the key of its channel is not that of the tags. Set channel 0 of this radio as that of the tags.`,
		}, true
	case ReceiverLocked:
		return row{
			code: "receiver-locked-<name>", level: Warn,
			id: `Radio penerima tag "{name}" terkunci dan tidak meneruskan apa pun. Buka kuncinya dengan program Meshtastic.`,
			en: `The radio of tag receiver "{name}" is locked and hands nothing over. Unlock it with Meshtastic's own program.`,
		}, true
	case ReceiverRegion:
		return row{
			code: "receiver-region-<name>", level: Warn,
			id: `Radio penerima tag "{name}" belum diatur untuk suatu wilayah (lora.region), sehingga tidak mendengar apa pun. Atur wilayahnya dengan program Meshtastic, sama dengan tag.`,
			en: `The radio of tag receiver "{name}" is set up for no region (lora.region), and so hears nothing. Set its region with Meshtastic's own program, the same as that of the tags.`,
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
	case TagBattery:
		return row{
			code: "tag-battery", level: Warn,
			id: "Baterai tag {name} hampir habis. Minta pembawanya mengisi dayanya.",
			en: "The battery of tag {name} is nearly empty. Ask its carrier to charge it.",
		}, true
	case TagRenamed:
		return row{
			code: "tag-renamed", level: Warn,
			id: "Nomor tag berganti ({changes}): mungkin firmware-nya diperbarui. Ganti nomornya di daftar pegawai; sampai itu tag lama dianggap diam.",
			en: "Tags have another id now ({changes}): their firmware was probably renewed. Change it in the roster; until then the old tag counts as silent.",
		}, true
	}
	return row{}, false
}
