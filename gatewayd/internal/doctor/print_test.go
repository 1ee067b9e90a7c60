package doctor_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"presence/gatewayd/internal/doctor"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/terminal"
)

// TestPrintedLinesAreShort: at most 160 characters, in colour too, and a command can be
// pasted as it stands there. At the end stands how many there are of each level.
func TestPrintedLinesAreShort(t *testing.T) {
	long := strings.Repeat("satu penyebab yang panjang; ", 20)
	command := "echo 'a quoted  blank stays' && " + strings.Repeat("echo /var/lib/gatewayd/tls/gateway.pem && ", 6) + "echo end"
	for _, screen := range []terminal.Screen{
		{Language: language.English},
		{Language: language.Indonesian},
		{Language: language.Indonesian, Palette: true},
	} {
		var b strings.Builder
		if err := doctor.NewDiagnosis("dinkes-01", []doctor.Finding{
			{Code: "config", Level: doctor.OK, EN: "right", ID: "benar"},
			{Code: "broker-certificate", Level: doctor.Fail, EN: long, ID: long, Mend: command},
			{Code: "disk", Level: doctor.Warn, EN: "full", ID: "penuh", Look: "df -h /"},
		}).Print(&b, screen); err != nil {
			t.Fatal(err)
		}
		printed := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(b.String(), "")
		if coloured := printed != b.String(); coloured != bool(screen.Palette) {
			t.Errorf("coloured: %t", coloured)
		}
		for _, word := range []string{screen.Green("ok  "), screen.Yellow("warn"), screen.Red("fail")} {
			if !strings.HasPrefix(b.String(), word) && !strings.Contains(b.String(), "\n"+word) {
				t.Errorf("%q is not in\n%s", word, b.String())
			}
		}
		for line := range strings.SplitSeq(printed, "\n") {
			if n := utf8.RuneCountInString(line); n > 160 {
				t.Errorf("%d characters: %s", n, line)
			}
		}
		_, pasted, _ := strings.Cut(printed, "-> ")
		pasted, _, _ = strings.Cut(pasted, "\nwarn")
		got, err := exec.Command("sh", "-c", pasted).Output()
		if err != nil {
			t.Fatalf("%s: %v", pasted, err)
		}
		want, err := exec.Command("sh", "-c", command).Output()
		if err != nil || string(got) != string(want) {
			t.Errorf("pasted it says %s, want %s (%v)", got, want, err)
		}
		closing, see := "\nchecks: 1 ok, 1 warn, 1 fail\n", "see: df -h /\n"
		if screen.Language == language.Indonesian {
			closing, see = "\npemeriksaan: 1 ok, 1 warn, 1 fail\n", "lihat: df -h /\n"
		}
		if !strings.HasSuffix(printed, closing) || !strings.Contains(printed, see) {
			t.Errorf("printed is\n%s", printed)
		}
	}
}

// TestADiagnosisIsNoMend: what only shows something is not said to mend it.
func TestADiagnosisIsNoMend(t *testing.T) {
	o := newOffice(t, "tls://mqtt.example.go.id:8883")
	o.opt.Health = running("bus-dead", false)
	o.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n")
	o.write("sys/fs/ext4/mmcblk0p2/errors_count", "3\n")
	o.remove("etc/NetworkManager")
	got := make(map[string]string)
	for _, f := range o.unsound() {
		got[f.Code] = f.Mend + "|" + f.Look
	}
	for code, want := range map[string]string{
		"reader": "|gatewayd watch", "broker": "|gatewayd status", "power": "|vcgencmd get_throttled",
		"sd-card": "|sudo dmesg | grep -iE 'mmc|ext4|i/o error'",
	} {
		if got[code] != want {
			t.Errorf("%s: %s", code, got[code])
		}
	}
	if mend := got["wifi"]; !strings.HasSuffix(mend, "|") {
		t.Errorf("wifi: %s", mend)
	}
}
