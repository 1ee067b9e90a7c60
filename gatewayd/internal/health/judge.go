package health

import (
	"fmt"

	"presence/gatewayd/internal/presence"
)

// Condition is something that a person should know.
type Condition struct {
	// Code names it in the topic `alert/<code>` and never changes: lower-case
	// letters, digits and hyphens.
	Code  string
	Level presence.Level
	ID    string // what is wrong and what to do, in Indonesian
	EN    string // the same in English
}

// offlineAfter is how many seconds events may wait before it is an alert: a
// broker's restart is not worth a call.
const offlineAfter = 300

// leastRoom is how many bytes, and leastDays how many days, may be left on the
// disk before it is an alert. At leastRoom a Pi soon fails in other ways.
const (
	leastRoom = 64 << 20
	leastDays = 7
)

// badShare is the part of a receiver's frames that may be rejected before it is
// an alert, once there are enough of them to tell.
const (
	badShare  = 0.5
	badEnough = 100
)

// unsyncedAfter is for how many seconds nobody may discipline the clock before
// it is an alert, and wellKnown the error in milliseconds up to which the time
// is known well enough all the same, from the broker, for that to be a hint.
const (
	unsyncedAfter = 4 * 3600
	wellKnown     = 1000
)

// Judge says which conditions a document shows.
func Judge(h presence.Health) []Condition {
	var cs []Condition
	add := func(level presence.Level, code, id, en string) {
		cs = append(cs, Condition{Code: code, Level: level, ID: id, EN: en})
	}
	for _, r := range h.Readers {
		switch r.State {
		case "bus-dead":
			add(presence.LevelFault, "reader-"+r.Name,
				fmt.Sprintf("Pembaca kartu %q tidak menjawab. Periksa kabel, catu daya dan SPI. (%s)", r.Name, r.Error),
				fmt.Sprintf("Badge reader %q does not answer. Check wiring, power and SPI. (%s)", r.Name, r.Error))
		case "deaf":
			add(presence.LevelFault, "reader-"+r.Name,
				fmt.Sprintf("Pembaca kartu %q menjawab tetapi tidak dapat membaca kartu. Cabut dan pasang kembali, atau ganti. (%s)", r.Name, r.Error),
				fmt.Sprintf("Badge reader %q answers but cannot read cards. Reconnect or replace it. (%s)", r.Name, r.Error))
		}
	}
	for _, r := range h.Receivers {
		var bad int64
		for _, n := range r.Bad {
			bad += n
		}
		switch {
		case r.State == "gone":
			add(presence.LevelWarn, "receiver-"+r.Name,
				fmt.Sprintf("Penerima tag %q tidak terhubung. Periksa kabel USB atau porta serial. (%s)", r.Name, r.Error),
				fmt.Sprintf("Tag receiver %q is not connected. Check its USB cable or serial port. (%s)", r.Name, r.Error))
		case bad >= badEnough && float64(bad) > badShare*float64(bad+r.Frames):
			add(presence.LevelWarn, "receiver-"+r.Name,
				fmt.Sprintf("Penerima tag %q mengirim data yang sebagian besar rusak (%d dari %d). Periksa protokol, baud dan antena.", r.Name, bad, bad+r.Frames),
				fmt.Sprintf("Tag receiver %q sends mostly damaged data (%d of %d). Check protocol, baud rate and antenna.", r.Name, bad, bad+r.Frames))
		}
	}
	late := h.Journal.Pending > 0 && h.Journal.OldestPendingS >= offlineAfter
	if !late && !h.MQTT.Connected && h.MQTT.DisconnectedS >= offlineAfter {
		add(presence.LevelWarn, "broker-away",
			fmt.Sprintf("Tidak ada sambungan ke kota. Tap tetap dicatat; periksa kabel jaringan, router dan broker. (%s)", h.MQTT.LastError),
			fmt.Sprintf("There is no line to the city. Taps are recorded all the same; check network cable, router and broker. (%s)", h.MQTT.LastError))
	}
	switch free := h.Pi.DiskFreeBytes; {
	case free != nil && *free < leastRoom:
		add(presence.LevelFault, "disk-low",
			"Disk hampir penuh (kurang dari 64 MB). Kosongkan: sudo journalctl --vacuum-size=50M && sudo apt-get clean.",
			"The disk is almost full (less than 64 MB). Make room: sudo journalctl --vacuum-size=50M && sudo apt-get clean.")
	case h.Pi.DiskDaysLeft != nil && *h.Pi.DiskDaysLeft < leastDays:
		add(presence.LevelWarn, "disk-low",
			"Disk akan penuh dalam kurang dari 7 hari. Cari penyebabnya (sudo du -xh / | sort -h | tail) dan kosongkan.",
			"The disk will be full in less than 7 days. Find out by what (sudo du -xh / | sort -h | tail), and make room.")
	}
	if n := h.Pi.SDErrors; n != nil && *n > 0 {
		if ro := h.Pi.RootReadonly; ro != nil && *ro {
			add(presence.LevelFault, "sd-errors",
				"Kartu SD rusak dan hanya dapat dibaca lagi. Ganti kartu SD sekarang.",
				"The SD card fails and can only be read any more. Replace the SD card now.")
		} else {
			add(presence.LevelWarn, "sd-errors",
				"Sistem berkas mencatat galat pada kartu SD. Segera ganti kartu SD.",
				"The file system has recorded errors of the SD card. Replace the SD card soon.")
		}
	}
	if late {
		text := "tidak tersambung"
		state := "not connected"
		if h.MQTT.Connected {
			text, state = "tersambung tetapi tidak mengonfirmasi", "connected but not confirming"
		}
		if h.MQTT.LastError != "" {
			text, state = text+": "+h.MQTT.LastError, state+": "+h.MQTT.LastError
		}
		add(presence.LevelWarn, "delivery-late",
			fmt.Sprintf("%d data menunggu dikirim, yang tertua sejak %d menit (%s). Data aman di gateway; periksa jaringan dan broker.", h.Journal.Pending, h.Journal.OldestPendingS/60, text),
			fmt.Sprintf("%d events wait to be delivered, the oldest for %d minutes (%s). They are safe on the gateway; check network and broker.", h.Journal.Pending, h.Journal.OldestPendingS/60, state))
	}
	if c := h.Clock; c.UnsyncedS >= unsyncedAfter {
		level := presence.LevelWarn
		knownID, knownEN := "Data dicatat, waktunya dikoreksi nanti.", "Events are recorded, and their times corrected later."
		if c.ErrorMS != nil && *c.ErrorMS <= wellKnown {
			level = presence.LevelOK
			knownID, knownEN = "Waktu diketahui dari broker.", "The time is known from the broker."
		}
		chipID, chipEN := "", ""
		if !c.RTC {
			chipID, chipEN = " Tidak ada cip jam (RTC); pasang DS3231.", " There is no clock chip (RTC); fit a DS3231."
		}
		add(level, "clock-unsynced",
			fmt.Sprintf("Jam tidak disinkronkan sejak %d jam. %s Periksa NTP (UDP 123) di jaringan.%s", c.UnsyncedS/3600, knownID, chipID),
			fmt.Sprintf("Nothing has set the clock right for %d hours. %s Check NTP (UDP 123) in the network.%s", c.UnsyncedS/3600, knownEN, chipEN))
	}
	return cs
}
