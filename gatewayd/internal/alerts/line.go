package alerts

// delivering are the rows about the way to the city; false for kinds about something else.
func delivering(k Kind) (row, bool) {
	switch k {
	case BrokerAway:
		return row{
			// Seconds without a line: a broker's restart is not worth a call. A
			// line that is back makes it 0.
			code: "broker-away", level: Warn, limit: Limit{Raise: 300, Clear: 1},
			id: "Tidak ada sambungan ke kota. Tap tetap dicatat; periksa kabel jaringan, router dan broker. ({error})",
			en: "There is no line to the city. Taps are recorded all the same; check network cable, router and broker. ({error})",
		}, true
	case DeliveryUnconfirmed:
		return row{
			// Seconds that the oldest event waits.
			code: "delivery-late", level: Warn, limit: Limit{Raise: 300, Clear: 60},
			id: "{pending} data menunggu dikirim, yang tertua sejak {minutes} menit (tersambung tetapi tidak mengonfirmasi: {error}). Data aman di gateway; periksa jaringan dan broker.",
			en: "{pending} events wait to be delivered, the oldest for {minutes} minutes (connected but not confirming: {error}). They are safe on the gateway; check network and broker.",
		}, true
	case DeliveryUnreceipted:
		return row{
			code: "delivery-late", level: Warn, limit: DeliveryUnconfirmed.Limit(),
			id: "{pending} data menunggu tanda terima (receipt) dari kota, yang tertua sejak {minutes} menit. Data aman di gateway, tetapi tidak ada yang dihapus sampai tanda terima datang. Periksa apakah recorder kota berjalan; bila kota tidak punya recorder, tulis receipts = false.",
			en: "{pending} events wait for the city's receipt, the oldest for {minutes} minutes. They are safe on the gateway, which forgets none of them until the receipt comes. See that the city's recorder runs; where the city has none, write receipts = false.",
		}, true
	case DeliveryOffline:
		return row{
			code: "delivery-late", level: Warn, limit: DeliveryUnconfirmed.Limit(),
			id: "{pending} data menunggu dikirim, yang tertua sejak {minutes} menit (tidak tersambung: {error}). Data aman di gateway; periksa jaringan dan broker.",
			en: "{pending} events wait to be delivered, the oldest for {minutes} minutes (not connected: {error}). They are safe on the gateway; check network and broker.",
		}, true
	case IDConflict:
		return row{
			code: "id-conflict", level: Fault,
			id: `Gateway lain memakai id "{name}". Keduanya saling memutus sambungan; ubah gateway.id salah satunya.`,
			en: `Another gateway uses the id "{name}". The two throw each other off the broker; change gateway.id of one.`,
		}, true
	case TopicsUnheard:
		return row{
			code: "topics-denied", level: Fault,
			id: "Broker menerima pesan gateway ini tetapi tidak meneruskannya: ACL broker tidak mengizinkan topiknya, data dapat hilang di broker. Perbaiki ACL, lalu minta resync.",
			en: "The broker takes this gateway's messages but does not pass them on: its ACL denies the gateway's topics, and events may be lost at the broker. Mend the ACL, then ask for a resync.",
		}, true
	case TopicsUnread:
		return row{
			code: "topics-denied", level: Warn,
			id: "Broker tidak mengizinkan gateway ini membaca topik: {name}. Periksa ACL broker.",
			en: "The broker does not let this gateway read the topics: {name}. Check the broker's ACL.",
		}, true
	case BatchesDenied:
		return row{
			code: "topics-denied", level: Warn,
			id: "Broker tidak meneruskan {name}: data dikirim satu per satu dan memakai kuota jauh lebih banyak. Izinkan gateway ini menulis dan membaca topik itu di ACL broker (gatewayd.acl), atau tulis batch = \"off\".",
			en: "The broker does not pass on {name}: events go one by one and take far more of the line. Let this gateway write and read that topic in the broker's ACL (gatewayd.acl), or write batch = \"off\".",
		}, true
	case DocumentRefused:
		return row{
			code: "document-refused", level: Warn,
			id: "Broker memutus sambungan bila menerima {name} ({bytes} byte), jadi itu tidak dikirim; data lain tetap jalan. Naikkan batas ukuran pesan di broker (mosquitto: max_packet_size) atau izinkan topiknya (ACL); dicoba lagi berkala.",
			en: "The broker hangs up over {name} ({bytes} bytes), so that is not published; everything else goes on. Raise the broker's limit for messages (mosquitto: max_packet_size) or allow the topic (ACL); it is tried again now and then.",
		}, true
	case EventRefused:
		return row{
			// What follows it may not pass it, but for taps.
			code: "event-refused", level: Fault,
			id: "Broker memutus sambungan bila menerima data {name} ({bytes} byte). Data itu dan yang sesudahnya menunggu di gateway, kecuali tap. Naikkan batas ukuran pesan di broker (mosquitto: max_packet_size) atau izinkan topiknya (ACL); dicoba lagi berkala.",
			en: "The broker hangs up over the event {name} ({bytes} bytes). It and what follows it wait on the gateway, but for taps. Raise the broker's limit for messages (mosquitto: max_packet_size) or allow the topic (ACL); it is tried again now and then.",
		}, true
	}
	return row{}, false
}
