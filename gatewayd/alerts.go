package main

import (
	"fmt"
	"strings"

	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

// conditions are what no number of the health document shows. Each function
// looks at one room and returns what a person should know of it, nothing while
// all is well.
func (d *daemon) conditions() []health.Condition {
	var cs []health.Condition
	for _, look := range []func() []health.Condition{
		d.lampConditions,
		d.journalConditions,
		d.lineConditions,
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

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
