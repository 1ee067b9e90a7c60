package terminal

import (
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// This file says in words what documents and events say in codes. A code that has no
// words, as that of a later version, stands for itself.

// ReaderState is what the state of a reader in the health document means. It follows the
// reader's name in a sentence.
func ReaderState(state string) language.Text {
	switch state {
	case "ok":
		return language.Text{EN: "works", ID: "berfungsi"}
	case "deaf":
		return language.Text{EN: "answers, but hears no card", ID: "menjawab, tetapi tidak mendengar kartu"}
	case "bus-dead":
		return language.Text{EN: "does not answer", ID: "tidak menjawab"}
	}
	return language.Text{EN: state, ID: state}
}

// ReceiverState is what the state of a receiver in the health document means. It follows
// the receiver's name in a sentence.
func ReceiverState(state string) language.Text {
	switch state {
	case "ok":
		return language.Text{EN: "works", ID: "berfungsi"}
	case "silent":
		return language.Text{EN: "is open, and hears nothing", ID: "terbuka, tetapi tidak mendengar apa pun"}
	case "gone":
		return language.Text{EN: "is gone", ID: "hilang"}
	}
	return language.Text{EN: state, ID: state}
}

// ClockState is what the state of the clock in the health document means.
func ClockState(state string) language.Text {
	switch state {
	case "synced":
		return language.Text{EN: "reported in sync", ID: "dilaporkan sinkron"}
	case "holdover":
		return language.Text{EN: "was in sync, and goes on by itself", ID: "pernah sinkron, kini berjalan sendiri"}
	case "unsynced":
		return language.Text{EN: "not in sync", ID: "tidak sinkron"}
	case "trusted":
		return language.Text{EN: "taken to be right", ID: "dianggap benar"}
	}
	return language.Text{EN: state, ID: state}
}

// GatewayLevel is what the level of a whole gateway means.
func GatewayLevel(level presence.Level) language.Text {
	switch level {
	case presence.LevelOK:
		return language.Text{EN: "all is well", ID: "semua baik"}
	case presence.LevelWarn:
		return language.Text{EN: "it records, but somebody should look", ID: "pencatatan berjalan, tetapi perlu diperiksa"}
	case presence.LevelFault:
		return language.Text{EN: "something of it does not work", ID: "ada yang tidak berfungsi"}
	}
	return language.Text{EN: string(level), ID: string(level)}
}

// alertLevel is how bad an alert is, in one word.
func alertLevel(level presence.Level) language.Text {
	switch level {
	case presence.LevelOK:
		return language.Text{EN: "hint", ID: "saran"}
	case presence.LevelWarn:
		return language.Text{EN: "warn", ID: "perlu diperiksa"}
	case presence.LevelFault:
		return language.Text{EN: "fault", ID: "gangguan"}
	}
	return language.Text{EN: string(level), ID: string(level)}
}

// refusal is why the lamp refused a tap.
func refusal(reason string) language.Text {
	switch reason {
	case "journal-full":
		return language.Text{EN: "the journal is full", ID: "jurnal penuh"}
	case "journal-closed":
		return language.Text{EN: "the journal is closed", ID: "jurnal tertutup"}
	case "journal-damaged":
		return language.Text{EN: "the journal is damaged", ID: "jurnal rusak"}
	case "disk-full":
		return language.Text{EN: "the disk is full", ID: "disk penuh"}
	case "read-only":
		return language.Text{EN: "the disk can only be read", ID: "disk hanya dapat dibaca"}
	case "write-failed":
		return language.Text{EN: "the disk did not take it", ID: "gagal menulis ke disk"}
	case "stopping":
		return language.Text{EN: "the gateway is stopping", ID: "gateway sedang berhenti"}
	}
	if text, ok := refusedCard(reason); ok {
		return text
	}
	return language.Text{EN: reason, ID: reason}
}

// lossReason is why a gap names lost events.
func lossReason(reason string) language.Text {
	switch presence.GapReason(reason) {
	case presence.GapJournalFull:
		return language.Text{EN: "the journal was full", ID: "jurnal penuh"}
	case presence.GapJournalDamaged:
		return language.Text{EN: "the journal was damaged", ID: "jurnal rusak"}
	case presence.GapWriteFailed:
		return language.Text{EN: "the disk did not take them", ID: "gagal menulis ke disk"}
	case presence.GapForgotten:
		return language.Text{EN: "removed on request", ID: "dihapus atas permintaan"}
	case presence.GapRolledBack:
		return language.Text{EN: "an old copy of the journal was put back", ID: "salinan jurnal lama telah dipasang kembali"}
	case presence.GapForked:
		return language.Text{EN: "the journal differs from what the city has", ID: "jurnal berbeda dari yang dimiliki kota"}
	}
	return language.Text{EN: reason, ID: reason}
}

// whereabouts is what an event says of where a tag or a member of staff is.
func whereabouts(code string) language.Text {
	switch code {
	case "inside":
		return language.Text{EN: "inside", ID: "di dalam"}
	case "outside":
		return language.Text{EN: "outside", ID: "di luar"}
	case "uncertain":
		return language.Text{EN: "perhaps inside", ID: "mungkin di dalam"}
	case "on_site":
		return language.Text{EN: "on site", ID: "di kantor"}
	case "badge_only":
		return language.Text{EN: "badge only", ID: "hanya kartu"}
	case "contradiction":
		return language.Text{EN: "contradiction", ID: "bertentangan"}
	case "off_site":
		return language.Text{EN: "off site", ID: "tidak di kantor"}
	}
	return language.Text{EN: code, ID: code}
}

// freshness is how fresh a tag's position is.
func freshness(fix string) language.Text {
	switch fix {
	case "live":
		return language.Text{EN: "live", ID: "langsung"}
	case "replay":
		return language.Text{EN: "from the tag's memory", ID: "dari memori tag"}
	case "unknown":
		return language.Text{EN: "age unknown", ID: "umur tidak diketahui"}
	}
	return language.Text{EN: fix, ID: fix}
}
