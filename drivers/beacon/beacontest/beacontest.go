package beacontest

import (
	"fmt"
	"math"
	"time"
)

// Sentence puts "$" before and checksum and line end behind an NMEA 0183 body.
func Sentence(body string) string {
	return fmt.Sprintf("$%s*%02X\r\n", body, Checksum(body))
}

// Checksum is the XOR of the bytes of an NMEA 0183 body.
func Checksum(body string) byte {
	var sum byte
	for i := range len(body) {
		sum ^= body[i]
	}
	return sum
}

// PKLDS is the long report of a FleetSync tag. Positions have a resolution of
// 1/10,000 minute (19 cm), times one of a second; a zero time leaves the date
// empty and the clock at midnight.
func PKLDS(fleet, unit int, lat, lon float64, t time.Time) string {
	return Sentence(fmt.Sprintf("PKLDS,%s,A,%s,000.0,000.0,%s,,W00,%d,%d,80,00,", clock(t), position(lat, lon), date(t), fleet, unit))
}

// PKNDS is the long report of a NEXEDGE tag with the unit ID "U" and five
// digits.
func PKNDS(unit int, lat, lon float64, t time.Time) string {
	return Sentence(fmt.Sprintf("PKNDS,%s,A,%s,000.0,000.0,%s,,W00,U%05d,207,00,", clock(t), position(lat, lon), date(t), unit))
}

// PKLSH is the short report of a FleetSync tag: the date is not sent.
func PKLSH(fleet, unit int, lat, lon float64, t time.Time) string {
	return Sentence(fmt.Sprintf("PKLSH,%s,%s,A,%d,%d,", position(lat, lon), clock(t), fleet, unit))
}

// PKNSH is the short report of a NEXEDGE tag.
func PKNSH(unit int, lat, lon float64, t time.Time) string {
	return Sentence(fmt.Sprintf("PKNSH,%s,%s,A,U%05d,", position(lat, lon), clock(t), unit))
}

// WPL is a waypoint. The name is written as it is.
func WPL(name string, lat, lon float64) string {
	return Sentence(fmt.Sprintf("GPWPL,%s,%s", position(lat, lon), name))
}

// PKWDWPL is a waypoint as Kenwood's APRS radios write it, with the radio's
// clock and the symbol "/[" (a person).
func PKWDWPL(name string, lat, lon float64, t time.Time) string {
	return Sentence(fmt.Sprintf("PKWDWPL,%s,V,%s,,,%s,,%s,/[", clock(t), position(lat, lon), date(t), name))
}

// RMC is the sentence that a tag sends through a LoRa modem.
func RMC(lat, lon float64, t time.Time) string {
	return Sentence(fmt.Sprintf("GPRMC,%s,A,%s,0.0,,%s,,", clock(t), position(lat, lon), date(t)))
}

// RCV is what a Reyax modem says when it received data. RSSI is in dBm, SNR in
// dB.
func RCV(address int, data string, rssi, snr int) string {
	return fmt.Sprintf("+RCV=%d,%d,%s,%d,%d\r\n", address, len(data), data, rssi, snr)
}

// Reyax is the report of a tag with a Reyax modem.
func Reyax(address int, lat, lon float64, t time.Time, rssi, snr int) string {
	return RCV(address, RMC(lat, lon, t), rssi, snr)
}

// IDAS is what an Icom IDAS radio prints of a tag's report. RSSI is in dBm, as text.
func IDAS(peer int, lat, lon float64, t time.Time, rssi string) string {
	sentence := RMC(lat, lon, t)
	return fmt.Sprintf("NTF,IDAS,RXMSG,IND,1,%d,-,%s,GPS,\"%s\"\r\n", peer, rssi, sentence[:len(sentence)-2])
}

func clock(t time.Time) string { return t.UTC().Format("150405") }

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("020106")
}

// position is "ddmm.mmmm,N,dddmm.mmmm,E", with NaN in the place of what is no number.
func position(lat, lon float64) string {
	ns, ew := "N", "E"
	if lat < 0 {
		ns, lat = "S", -lat
	}
	if lon < 0 {
		ew, lon = "W", -lon
	}
	if math.IsNaN(lat) || math.IsNaN(lon) {
		return fmt.Sprintf("%.4f,%s,%.4f,%s", lat*100, ns, lon*100, ew)
	}
	// Counted in 1/10,000 minutes, so that 59.99999 never prints as 60.0000.
	la, lo := int(math.Round(lat*600_000)), int(math.Round(lon*600_000))
	return fmt.Sprintf("%02d%02d.%04d,%s,%03d%02d.%04d,%s",
		la/600_000, la/10_000%60, la%10_000, ns,
		lo/600_000, lo/10_000%60, lo%10_000, ew)
}
