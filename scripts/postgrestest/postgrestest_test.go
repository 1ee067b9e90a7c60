package postgrestest_test

import (
	"net"
	"strconv"
	"testing"

	"presence/scripts/postgrestest"
)

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	d := postgrestest.Start(t, postgrestest.WithTCP(), postgrestest.WithFsync())
	d.Create("city")
	if _, err := d.Query("city", "create table kept (n int); insert into kept values (17)"); err != nil {
		t.Fatal(err)
	}
	first := d.PID()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port))
	for range 2 {
		d.Kill()
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			t.Fatal("answers after SIGKILL")
		}
		if d.PID() != 0 {
			t.Fatal("has a process after SIGKILL")
		}
		d.Restart()
	}
	d.Restart() // while it runs
	if d.PID() == first {
		t.Fatal("same process after restart")
	}
	rows, err := d.Query("city", "select n from kept")
	if err != nil || rows != "17\n" {
		t.Fatalf("after restart: %q, %v", rows, err)
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
