package main

import (
	"fmt"
	"strings"
	"time"

	"presence/drivers/pi"
	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

// conditions are what no number of the health document shows. Each function
// looks at one room and returns what a person should know of it, nothing while
// all is well.
func (d *daemon) conditions() []health.Condition {
	var cs []health.Condition
	for _, look := range []func() []health.Condition{
		d.taskConditions,
		d.lampConditions,
		d.journalConditions,
		d.lineConditions,
		d.cityTimeConditions,
		d.certificateConditions,
		d.boardConditions,
		d.documentConditions,
	} {
		cs = append(cs, look()...)
	}
	return cs
}

func (d *daemon) lampConditions() []health.Condition {
	if d.lampFault == nil {
		return nil
	}
	return []health.Condition{{
		Code: "lamp", Level: presence.LevelWarn,
		ID: fmt.Sprintf("Lampu atau buzzer tidak dapat dinyalakan; tap tetap dicatat. (%v)", d.lampFault),
		EN: fmt.Sprintf("Lamp or buzzer cannot be driven; taps are recorded all the same. (%v)", d.lampFault),
	}}
}

func (d *daemon) journalConditions() (cs []health.Condition) {
	if w := d.journal.Damage(); w != nil {
		cs = append(cs, health.Condition{
			Code: "journal-damaged", Level: presence.LevelWarn,
			ID: fmt.Sprintf("Jurnal rusak saat dibuka (%s): %d data diselamatkan, %d hilang. Berkas lama: %s. Periksa atau ganti kartu SD.", w.Problem, w.Salvaged, w.Lost, orNone(w.Quarantine)),
			EN: fmt.Sprintf("The journal was found damaged (%s): %d events were saved, %d are lost. The old file: %s. Check or replace the SD card.", w.Problem, w.Salvaged, w.Lost, orNone(w.Quarantine)),
		})
	}
	if err := d.journal.Refused(); err != nil {
		return []health.Condition{{
			Code: "journal-closed", Level: presence.LevelFault,
			ID: fmt.Sprintf("Jurnal tidak dapat dibuka; tap ditolak (lampu merah) sampai disk dapat ditulisi lagi. (%v)", err),
			EN: fmt.Sprintf("The journal cannot be opened; taps are refused (red lamp) until the disk can be written again. (%v)", err),
		}}
	}
	if d.journal.Stats().Full {
		cs = append(cs, health.Condition{
			Code: "journal-full", Level: presence.LevelFault,
			ID: "Tidak ada tempat untuk mencatat: disk atau jurnal penuh. Tap ditolak (lampu merah). Kosongkan disk atau pulihkan sambungan ke kota.",
			EN: "There is no room to record anything: the disk or the journal is full. Taps are refused (red lamp). Free the disk or restore the line to the city.",
		})
	}
	return cs
}

func (d *daemon) lineConditions() (cs []health.Condition) {
	if d.uplink.Rival() {
		cs = append(cs, health.Condition{
			Code: "id-conflict", Level: presence.LevelFault,
			ID: fmt.Sprintf("Gateway lain memakai id %q. Keduanya saling memutus sambungan; ubah gateway.id salah satunya.", d.origin.Gateway),
			EN: fmt.Sprintf("Another gateway uses the id %q. The two throw each other off the broker; change gateway.id of one.", d.origin.Gateway),
		})
	}
	if d.uplink.Unheard() {
		return append(cs, health.Condition{
			Code: "topics-denied", Level: presence.LevelFault,
			ID: "Broker menerima pesan gateway ini tetapi tidak meneruskannya: ACL broker tidak mengizinkan topiknya, data dapat hilang di broker. Perbaiki ACL, lalu minta resync.",
			EN: "The broker takes this gateway's messages but does not pass them on: its ACL denies the gateway's topics, and events may be lost at the broker. Mend the ACL, then ask for a resync.",
		})
	}
	if denied := d.uplink.Denied(); len(denied) > 0 {
		topics := strings.Join(denied, ", ")
		cs = append(cs, health.Condition{
			Code: "topics-denied", Level: presence.LevelWarn,
			ID: fmt.Sprintf("Broker tidak mengizinkan gateway ini membaca topik: %s. Periksa ACL broker.", topics),
			EN: fmt.Sprintf("The broker does not let this gateway read the topics: %s. Check the broker's ACL.", topics),
		})
	}
	return cs
}

// maxDisagreement is how far the system's clock may be off the city's.
const maxDisagreement = 2 * time.Second

// cityTimeConditions holds the system's clock, while it claims to be right,
// against the city's.
func (d *daemon) cityTimeConditions() []health.Condition {
	ahead, known := d.clock.Disagreement()
	if !known || ahead.Abs() <= maxDisagreement {
		return nil
	}
	id, en := "lebih cepat dari", "ahead of"
	if ahead < 0 {
		id, en = "lebih lambat dari", "behind"
	}
	off := ahead.Abs().Round(100 * time.Millisecond)
	return []health.Condition{{
		Code: "clock-disagrees", Level: presence.LevelWarn,
		ID: fmt.Sprintf("Jam sistem %s %s jam kota, padahal merasa sinkron. Periksa server NTP gateway ini dan jam di kota; waktu tap memuat ketidakpastian itu.", off, id),
		EN: fmt.Sprintf("The system's clock is %s %s the city's, although it claims to be in sync. Check this gateway's NTP server and the clock at the city; the times of taps allow for both.", off, en),
	}}
}

// weakFor is how long a dip of the supply stays an alert.
const weakFor = 10 * time.Minute

// hot is the temperature, in degrees Celsius, at which a Pi begins to slow down.
const hot = 80

func (d *daemon) boardConditions() (cs []health.Condition) {
	printed, _ := d.board.Throttled()
	bits, _ := pi.ThrottledBits(printed) // 0 where unknown
	if d.power.LowWithin(weakFor) || bits&pi.UndervoltageNow != 0 {
		cs = append(cs, health.Condition{
			Code: "undervoltage", Level: presence.LevelWarn,
			ID: "Catu daya terlalu lemah: Pi dapat berhenti dan merusak kartu SD. Pakai catu daya resmi dan kabel pendek.",
			EN: "The supply is too weak: the Pi may stop and damage its SD card. Use the official power supply and a short cable.",
		})
	}
	temp, _ := d.board.TempC()
	if slow := bits & (pi.CappedNow | pi.ThrottledNow | pi.HotNow); temp >= hot || slow != 0 && bits&pi.UndervoltageNow == 0 {
		cs = append(cs, health.Condition{
			Code: "throttled", Level: presence.LevelWarn,
			ID: "Prosesor diperlambat karena panas. Beri ventilasi pada kotak, atau pasang pendingin.",
			EN: "The processor is slowed down because it is hot. Give the case air, or fit a cooler.",
		})
	}
	if d.cfg.Clock.Source == "kernel" && !d.clock.Now().Known() && !d.board.HasRTC() {
		cs = append(cs, health.Condition{
			Code: "no-rtc", Level: presence.LevelOK, // that the time is unknown is told elsewhere
			ID: "Gateway ini tidak mempunyai cip jam (RTC). Dengan DS3231 waktu tetap diketahui setelah listrik padam.",
			EN: "This gateway has no clock chip. With a DS3231 the time stays known after a power cut.",
		})
	}
	return cs
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
