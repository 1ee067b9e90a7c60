package pi_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/pi"
)

func TestPowerCountsLooksEveryTwoSeconds(t *testing.T) {
	b := scratch(t, map[string]string{
		"sys/class/hwmon/hwmon1/name":            "rpi_volt\n",
		"sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
	})
	set := func(alarm string) {
		path := filepath.Join(b.Root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm")
		if err := os.WriteFile(path, []byte(alarm+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := pi.NewPower(b)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		defer func() { cancel(); <-done }()

		expect := func(when string, count int64, lately bool) {
			t.Helper()
			synctest.Wait()
			if n, known := p.Undervoltage(); n != count || !known {
				t.Errorf("%s: counted %d, %v", when, n, known)
			}
			if p.LowWithin(time.Minute) != lately {
				t.Errorf("%s: low lately is %v", when, !lately)
			}
		}
		time.Sleep(11 * time.Second)
		expect("with good power", 0, false)
		set("1")
		time.Sleep(2 * time.Second)
		set("0")
		expect("after a dip of 2 s", 1, true)
		time.Sleep(2 * time.Minute)
		expect("2 minutes later", 1, false)
		set("1")
		time.Sleep(20 * time.Second)
		expect("weak for 20 s", 11, true)
	})
}

func TestPowerOfABoardThatDoesNotTell(t *testing.T) {
	p := pi.NewPower(pi.Board{Root: t.TempDir()})
	if _, known := p.Undervoltage(); known || p.LowWithin(time.Hour) {
		t.Error("a count out of nothing")
	}
}
