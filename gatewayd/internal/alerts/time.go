package alerts

// timekeeping are the rows about the time; false for kinds about something else.
func timekeeping(k Kind) (row, bool) {
	switch k {
	case ClockUnsynced:
		return row{
			// Seconds since the system's clock was last disciplined; a clock that
			// is set makes it 0.
			code: "clock-unsynced", level: Warn, limit: Limit{Raise: 4 * 3600, Clear: 1},
			id: "Jam tidak disinkronkan sejak {hours} jam. Data dicatat, waktunya dikoreksi nanti. Periksa NTP (UDP 123) di jaringan.",
			en: "Nothing has set the clock right for {hours} hours. Events are recorded, and their times corrected later. Check NTP (UDP 123) in the network.",
		}, true
	case ClockUnsyncedNoChip:
		return row{
			code: "clock-unsynced", level: Warn, limit: ClockUnsynced.Limit(),
			id: "Jam tidak disinkronkan sejak {hours} jam. Data dicatat, waktunya dikoreksi nanti. Periksa NTP (UDP 123) di jaringan. Tidak ada cip jam (RTC); pasang DS3231.",
			en: "Nothing has set the clock right for {hours} hours. Events are recorded, and their times corrected later. Check NTP (UDP 123) in the network. There is no clock chip (RTC); fit a DS3231.",
		}, true
	case ClockByBroker:
		return row{
			code: "clock-unsynced", level: Hint, limit: ClockUnsynced.Limit(),
			id: "Jam tidak disinkronkan sejak {hours} jam. Waktu diketahui dari broker. Periksa NTP (UDP 123) di jaringan.",
			en: "Nothing has set the clock right for {hours} hours. The time is known from the broker. Check NTP (UDP 123) in the network.",
		}, true
	case ClockByBrokerNoChip:
		return row{
			code: "clock-unsynced", level: Hint, limit: ClockUnsynced.Limit(),
			id: "Jam tidak disinkronkan sejak {hours} jam. Waktu diketahui dari broker. Periksa NTP (UDP 123) di jaringan. Tidak ada cip jam (RTC); pasang DS3231.",
			en: "Nothing has set the clock right for {hours} hours. The time is known from the broker. Check NTP (UDP 123) in the network. There is no clock chip (RTC); fit a DS3231.",
		}, true
	case ClockAhead:
		return row{
			// Seconds between the system's clock and the city's.
			code: "clock-disagrees", level: Warn, limit: Limit{Raise: 2, Clear: 1.5},
			id: "Jam sistem {off} lebih cepat dari jam kota, padahal dilaporkan sinkron. Periksa server NTP gateway ini dan jam di kota; waktu tap memuat ketidakpastian itu.",
			en: "The system's clock is {off} ahead of the city's, although it claims to be in sync. Check this gateway's NTP server and the clock at the city; the times of taps allow for both.",
		}, true
	case ClockBehind:
		return row{
			code: "clock-disagrees", level: Warn, limit: ClockAhead.Limit(),
			id: "Jam sistem {off} lebih lambat dari jam kota, padahal dilaporkan sinkron. Periksa server NTP gateway ini dan jam di kota; waktu tap memuat ketidakpastian itu.",
			en: "The system's clock is {off} behind the city's, although it claims to be in sync. Check this gateway's NTP server and the clock at the city; the times of taps allow for both.",
		}, true
	case ClockJumped:
		return row{
			code: "clock-jumped", level: Warn,
			id: "Jam sistem melompat: sekarang menunjukkan {shows}, padahal menurut yang diketahui sebelumnya {passed}. Belum jelas mana yang benar; waktu tap memuat keduanya sampai ada sumber ketiga. Periksa server NTP gateway ini.",
			en: "The system's clock has jumped: it shows {shows}, and by what was known before it is {passed}. Nobody knows yet which is right; the times of taps allow for both until a third source agrees with one. Check this gateway's NTP server.",
		}, true
	case ClockJumpedBack:
		return row{
			code: "clock-jumped", level: Warn,
			id: "Jam sistem menunjukkan waktu yang salah untuk sementara. Mana yang benar kini diketahui, dan waktu tap dikoreksi. Periksa server NTP gateway ini.",
			en: "The system's clock showed a wrong time for a while. It is known by now which was right, and the times of taps are corrected. Check this gateway's NTP server.",
		}, true
	case NoClockChip:
		return row{
			code: "no-rtc", level: Hint, // that the time is unknown is told elsewhere
			id: "Gateway ini tidak mempunyai cip jam (RTC). Dengan DS3231 waktu tetap diketahui setelah listrik padam.",
			en: "This gateway has no clock chip. With a DS3231 the time stays known after a power cut.",
		}, true
	}
	return row{}, false
}
