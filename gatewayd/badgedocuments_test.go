package main_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
	"presence/scripts/brokertest"
)

// badgeCity is a gateway with its line over TLS, and the city that sends it documents about
// badges with its own tools.
type badgeCity struct {
	*gateway
	signer
	t      *testing.T
	city   *brokertest.City
	issued string // the gateway's certificate
}

func newBadgeCity(t *testing.T, badges, more string) *badgeCity {
	t.Helper()
	ca := brokertest.NewCA(t)
	b, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
	c := &badgeCity{t: t, signer: newSigner(t), city: b.Subscribe("presence/v1/#")}
	c.docs = cityProgram(t, "badgedocs")
	cert, key := ca.Issue("dinkes-01", time.Now().Add(365*24*time.Hour))
	c.issued = cert
	c.gateway = badgeGateway(t, "tls://"+address, "pn532", badges,
		fmt.Sprintf("ca_file = %q\ncert_file = %q\nkey_file = %q\n[city]\nkey_file = %q\n", ca.File, cert, key, c.key+".pem")+more)
	return c
}

// losses is a signed list of lost badges, as ca.sh badge-revoke keeps it.
func (c *badgeCity) losses(serial int, list string) []byte {
	return c.sign("badge-revoked", serial, list)
}

// sealed are the keys of simulated cards, sealed to the certificate's key, by UID.
func (c *badgeCity) sealed(serial int, certificate string, keys map[string]string) []byte {
	c.t.Helper()
	dir := c.t.TempDir()
	staff, list := "uid,card\n", "uid,key,key_no\n"
	for uid, key := range keys {
		staff += uid + ",desfire\n"
		list += uid + "," + key + ",1\n"
	}
	for name, text := range map[string]string{"staff.csv": staff, "keys.csv": list} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	body := c.run(c.docs, "keys", "-dinas", "dinkes", "-gateway", "dinkes-01", "-serial", strconv.Itoa(serial),
		"-certificate", certificate, "-keys", filepath.Join(dir, "keys.csv"), filepath.Join(dir, "staff.csv"))
	return c.sign("badge-keys", serial, string(body))
}

// simKey is the key of the simulated card with a UID.
func simKey(t testing.TB, uid string) string {
	key := sim.BadgeKey(mustUID(t, uid))
	return hex.EncodeToString(key[:])
}

func (c *badgeCity) valid() {
	c.t.Helper()
	for _, m := range c.city.Messages() {
		if err := validator(c.t).Validate(m.Topic, m.Payload); err != nil {
			c.t.Error(err)
		}
	}
}

// TestLostBadgesAreRefused as soon as the city publishes that they are lost, whatever they
// prove, and so are their copies; also after a restart without the broker's help, until the
// city says otherwise. What somebody else publishes changes nothing.
func TestLostBadgesAreRefused(t *testing.T) {
	t.Parallel()
	c := newBadgeCity(t, "", "")
	c.start()
	c.city.Await("the alert on a missing list", raised("badge-ca"))
	const lost, plain, other = "04A1B2C3D4E501", "5A000001", "04A1B2C3D4E502"
	if a := c.show("--card", "piv", "--uid", lost); a.Outcome != "accepted" {
		t.Fatalf("before it was lost: %+v", a)
	}
	list := fmt.Sprintf(`[{"guid":%q,"since":"2026-11-20T08:00:00+07:00","why":"lost"},{"uid":%q}]`, guidOf(t, lost), plain)
	c.city.Publish(prefix+"badge-revoked", true, c.losses(5, list))
	c.await("the list", func() bool {
		h := c.health().Badges
		return h.Revoked != nil && h.Revoked.Serial == 5 && h.Revoked.Entries == 2
	})
	c.city.Await("the end of the alert", cleared("badge-ca"))
	refused := func(when string) {
		t.Helper()
		for _, args := range [][]string{
			{"--card", "piv", "--uid", lost},
			{"--card", "clone-of:" + lost},
			{"--card", "clone-of:" + lost, "--rogue", "classic"},
			{"--card", "mifare-classic-1k", "--uid", plain},
		} {
			if a := c.show(args...); a.Outcome != "refused" || a.Reason != presence.ReasonRevoked {
				t.Errorf("%s, %s: %+v", when, args, a)
			}
		}
		if a := c.show("--card", "piv", "--uid", other); a.Outcome != "accepted" && a.Outcome != "repeat" {
			t.Errorf("%s, another badge: %+v", when, a)
		}
	}
	refused("lost")
	forger := newSigner(t)
	forger.docs = c.docs
	for name, message := range map[string][]byte{
		"forged": forger.sign("badge-revoked", 9, `[]`), "replayed": c.losses(4, `[]`), "unsigned": []byte(`[]`),
	} {
		before := c.health().Badges.Revoked.Refused
		c.city.Publish(prefix+"badge-revoked", true, message)
		c.await("a list that is "+name+" to be refused", func() bool { return c.health().Badges.Revoked.Refused == before+1 })
	}
	c.city.Await("the alert on a wrong list", raised("badge-ca"))
	refused("after forgeries")
	c.city.Publish(prefix+"badge-revoked", true, nil)
	c.stop()
	c.start()
	refused("after a restart")
	if strings.Contains(c.log.String(), plain) {
		t.Error("the log names a lost badge")
	}
	c.city.Publish(prefix+"badge-revoked", true, c.losses(6, `[]`))
	c.await("the empty list", func() bool { return c.health().Badges.Revoked.Serial == 6 })
	if a := c.show("--card", "piv", "--uid", lost); a.Outcome != "accepted" && a.Outcome != "repeat" {
		t.Errorf("found again: %+v", a)
	}
	c.stop()
	nowhere(t, c.gateway, plain)
}

// TestKeysOfBadgesComeSealed: with the keys that the city seals to this gateway its staff's
// DESFire badges prove who they are, and nothing else that shows their number is let in;
// strangers are as before. Keys that are sealed to somebody else change nothing. No key is
// readable on the disk or in the log.
func TestKeysOfBadgesComeSealed(t *testing.T) {
	t.Parallel()
	c := newBadgeCity(t, "", "")
	c.start()
	const staff, moved, stranger = "04A1B2C3D4E501", "04A1B2C3D4E502", "04A1B2C3D4E503"
	wrong := strings.Repeat("5a", 16)
	publish := func(serial, entries int, message []byte) {
		t.Helper()
		c.city.Publish(prefix+"badge-keys", true, message)
		c.await("the keys", func() bool {
			h := c.health().Badges
			return h.Keys != nil && h.Keys.Serial == uint64(serial) && h.Keys.Entries == entries
		})
	}
	publish(7, 2, c.sealed(7, c.issued, map[string]string{staff: simKey(t, staff), moved: wrong}))
	if a := c.show("--card", "desfire-ev3", "--uid", staff); a.Outcome != "accepted" || c.health().Badges.AuthenticatedDESFire != 1 {
		t.Errorf("the staff's badge: %+v", a)
	}
	for _, k := range []struct {
		args           []string
		reason, detail string
	}{
		{[]string{"--card", "clone-of:" + staff}, presence.ReasonDowngrade, "absent"},
		{[]string{"--card", "mifare-classic-1k", "--uid", staff}, presence.ReasonDowngrade, ""},
		{[]string{"--card", "desfire-ev3", "--uid", staff, "--rogue", "claims-only"}, presence.ReasonNotAuthenticated, "rnd"},
		{[]string{"--card", "desfire-ev2", "--uid", moved}, presence.ReasonNotAuthenticated, "wrong-key"},
		{[]string{"--card", "desfire-ev2", "--uid", moved}, presence.ReasonNotAuthenticated, "paused"},
	} {
		if a := c.show(k.args...); a.Outcome != "refused" || a.Reason != k.reason || a.Detail != k.detail {
			t.Errorf("%s: %+v", k.args, a)
		}
	}
	if a := c.show("--card", "desfire-ev2", "--uid", stranger); a.Outcome != "accepted" || c.health().Badges.AuthenticatedDESFire != 1 {
		t.Errorf("a stranger's card: %+v", a)
	}
	// A pause outlives a restart, and not another key.
	c.stop()
	c.start()
	if a := c.show("--card", "desfire-ev2", "--uid", moved); a.Detail != "paused" {
		t.Errorf("after a restart: %+v", a)
	}
	publish(8, 2, c.sealed(8, c.issued, map[string]string{staff: simKey(t, staff), moved: simKey(t, moved)}))
	if a := c.show("--card", "desfire-ev2", "--uid", moved); a.Outcome != "accepted" {
		t.Errorf("with another key: %+v", a)
	}
	// Sealed to another gateway's certificate.
	other, _ := brokertest.NewCA(t).Issue("dinkes-01", time.Now().Add(time.Hour))
	c.city.Publish(prefix+"badge-keys", true, c.sealed(9, other, map[string]string{stranger: simKey(t, stranger)}))
	c.await("keys for somebody else to be refused", func() bool { return c.health().Badges.Keys.Refused == 1 })
	c.await("the alert", func() bool { return strings.Contains(strings.Join(c.health().Alerts, " "), "badge-ca") })
	if h := c.health().Badges.Keys; h.Serial != 8 || h.Entries != 2 {
		t.Errorf("in force are %+v", h)
	}
	c.stop()
	c.valid()
	info, err := os.Stat(filepath.Join(c.dir, "state", "badge-keys.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kept as %v: %v", info, err)
	}
	nowhere(t, c.gateway, strings.ToUpper(simKey(t, staff)), strings.ToUpper(wrong))
}
