package database_test

import (
	"testing"
	"time"
)

// How each gateway is, by its events and the list of offices.
func TestGatewayState(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	state := `select gateway, listed, silent, quality, round(delay_s) as late, boot, version, missing, lost, right(stream::text, 1) as s from presence.gateway_state order by 1`
	execute(t, conn, `insert into presence.office (dinas, gateway, name, since, until) values
		('dinkes', 'dinkes-01', 'Puskesmas Dinoyo', current_date - 9, null),
		('dinkes', 'dinkes-02', 'never seen', current_date - 9, null),
		('dinkes', 'dinkes-03', 'closed', current_date - 9, current_date - 1),
		('dinkes', 'dinkes-04', 'opens tomorrow', current_date + 1, null)`)
	same(t, conn, state, "(dinkes-01,t,t,,,,,0,0,)", "(dinkes-02,t,t,,,,,0,0,)")

	// dinkes-01 had an earlier stream with a loss, and has one now with a hole.
	now := tap(streamB, 4, 0)
	now.at = to(time.Now().Add(-time.Hour))
	store(t, conn, begin(streamA, "null"), gap(streamA, 5, lost(streamA, "2", "4")))
	execute(t, conn, "update presence.stream set last_seen = last_seen - interval '1 minute'")
	store(t, conn, begin(streamB, previous(streamA, "5")), now)
	store(t, conn, begin("019ab2c3-0000-7000-8000-00000000000c", "null").of("dinkes-09"))
	same(t, conn, state, "(dinkes-01,t,f,synced,3600,b1,2.0,2,3,b)", "(dinkes-02,t,t,,,,,0,0,)", "(dinkes-09,f,f,unsynced,,b1,2.0,0,0,c)")

	// An event that is sent again says nothing new, neither does a correction, nor an older
	// event that was missing; a newer one does.
	older, revised := tap(streamB, 3, 0), now
	revised.rev, revised.quality = 1, "corrected"
	store(t, conn, older, revised, now)
	same(t, conn, `select quality, round(delay_s) as late, missing from presence.gateway_state where gateway = 'dinkes-01'`, "(synced,3600,1)")
	newer := tap(streamB, 5, 0)
	newer.at = to(time.Now().Add(-2 * time.Second))
	newer.quality = "bounded"
	store(t, conn, newer)
	same(t, conn, `select quality, delay_s < 60 as fast from presence.gateway_state where gateway = 'dinkes-01'`, "(bounded,t)")

	// A weekend is no silence; who is quiet for longer is silent.
	for days, silent := range map[string]string{"3 days": "(f)", "4 days": "(t)"} {
		execute(t, conn, "update presence.stream set last_seen = now() - $1::interval", days)
		same(t, conn, "select silent from presence.gateway_state where gateway = 'dinkes-01'", silent)
	}
}
