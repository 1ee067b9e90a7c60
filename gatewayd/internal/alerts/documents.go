package alerts

// documents are the rows about what people and the city configure; false for kinds about something else.
func documents(k Kind) (row, bool) {
	switch k {
	case FenceWrong:
		return row{
			code: "fence", level: Warn,
			id: "Berkas pagar {name} salah atau tidak terbaca: gateway berjalan tanpa pagar, jadi tidak diketahui siapa yang ada di kantor. Perbaiki, periksa dengan gatewayd check, lalu: sudo systemctl reload gatewayd. ({error})",
			en: "The fence's file {name} is wrong or cannot be read: the gateway runs without a fence, so nobody knows who is in the office. Correct it, try gatewayd check, then: sudo systemctl reload gatewayd. ({error})",
		}, true
	case RosterFileWrong:
		return row{
			code: "roster", level: Warn,
			id: "Berkas roster salah dan tidak dipakai; roster sebelumnya tetap berlaku. Perbaiki {name}, periksa dengan gatewayd check. ({error})",
			en: "The roster file is wrong and not in use; the roster before it stays in force. Correct {name} and try gatewayd check. ({error})",
		}, true
	case RosterRefused:
		return row{
			code: "roster-refused", level: Warn,
			id: "Roster pada topik {name} ditolak; yang sebelumnya tetap berlaku. Terbitkan lagi dokumen yang ditandatangani kota, dan periksa siapa yang boleh menulis ke topik itu. ({error})",
			en: "A roster on the topic {name}: refused; what was before stays in force. Publish the document that the city signed again, and look who may write to that topic. ({error})",
		}, true
	case HoursRefused:
		return row{
			code: "hours-refused", level: Warn,
			id: "Jam kerja pada topik {name} ditolak; yang sebelumnya tetap berlaku. Terbitkan lagi dokumen yang ditandatangani kota, dan periksa siapa yang boleh menulis ke topik itu. ({error})",
			en: "Working hours on the topic {name}: refused; what was before stays in force. Publish the document that the city signed again, and look who may write to that topic. ({error})",
		}, true
	}
	return row{}, false
}
