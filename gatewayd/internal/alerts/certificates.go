package alerts

// certificates are the rows about certificates; false for kinds about something else.
func certificates(k Kind) (row, bool) {
	switch k {
	case CertificateExpired:
		return row{
			code: "certificate-expired", level: Fault,
			id: "Sertifikat gateway ({name}) sudah berakhir {end}. Sambungan ke broker ditolak; perbarui sertifikat.",
			en: "The gateway's certificate ({name}) has ended at {end}. No line to the broker is possible; renew it.",
		}, true
	case CertificateDay:
		return expiring("certificate", Fault, 1, "Sertifikat gateway", "The gateway's certificate"), true
	case CertificateWeek:
		return expiring("certificate", Warn, 7, "Sertifikat gateway", "The gateway's certificate"), true
	case CertificateMonth:
		return expiring("certificate", Warn, 30, "Sertifikat gateway", "The gateway's certificate"), true
	case CAExpired:
		return row{
			code: "ca-expired", level: Fault,
			id: "Sertifikat CA kota ({name}) sudah berakhir {end}. Sambungan ke broker ditolak; perbarui sertifikat.",
			en: "The certificate of the city's CA ({name}) has ended at {end}. No line to the broker is possible; renew it.",
		}, true
	case CADay:
		return expiring("ca", Fault, 1, "Sertifikat CA kota", "The certificate of the city's CA"), true
	case CAWeek:
		return expiring("ca", Warn, 7, "Sertifikat CA kota", "The certificate of the city's CA"), true
	case CAMonth:
		return expiring("ca", Warn, 30, "Sertifikat CA kota", "The certificate of the city's CA"), true
	case BrokerCertificateExpired:
		return row{
			code: "broker-certificate", level: Fault,
			id: "Sertifikat broker ({name}) sudah berakhir {end}. Tidak ada gateway yang dapat tersambung lagi; perbarui sertifikat broker di kota (ca.sh renew, lihat BROKER.md).",
			en: "The broker's certificate ({name}) has ended at {end}. No gateway can connect any more; renew the broker's certificate in the city (ca.sh renew, see BROKER.md).",
		}, true
	case BrokerCertificateWeek:
		return brokerExpiring(Fault, 7), true
	case BrokerCertificateMonth:
		return brokerExpiring(Warn, 30), true
	case BrokerCertificateMonths:
		return brokerExpiring(Hint, 60), true
	}
	return row{}, false
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
