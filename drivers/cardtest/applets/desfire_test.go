package applets

import (
	"bytes"
	"testing"
	"time"
)

// scene is one DESFire with a key, and what is asked of it.
type scene struct {
	*testing.T
	*DESFire
	key [16]byte
}

func newScene(t *testing.T, change func(*DESFireOptions)) *scene {
	s := &scene{T: t, key: [16]byte{1, 2, 3}}
	o := DESFireOptions{
		Family: EV3, UID: [7]byte{4, 1, 2, 3, 4, 5, 6}, Application: Application(), Seed: 5,
		Keys: map[byte][16]byte{1: s.key, 2: {9}},
		Files: map[byte]*File{
			1: {Data: []byte("0123456789ABCDEF"), Key: Free},
			2: {Data: bytes.Repeat([]byte("long"), 40), Mode: MACed, Key: 1},
			3: {Data: make([]byte, 32), Mode: Full, Key: 1},
		},
	}
	if change != nil {
		change(&o)
	}
	s.DESFire = NewDESFire(o)
	return s
}

// want sends a wrapped command, and returns the answer where it has this status.
func (s *scene) want(status byte, ins byte, data ...byte) []byte {
	s.Helper()
	answer, got := wrapped(s.DESFire, ins, data...)
	if got != status {
		s.Fatalf("command %02X %X: 91%02X, want 91%02X", ins, data, got, status)
	}
	if status != stDone && status != stMore && len(answer) != 0 {
		s.Fatalf("an error came with %X", answer)
	}
	return answer
}

func (s *scene) selects() { s.Helper(); s.want(stDone, cmdSelectApplication, 0x30, 0x42, 0xF5) }

// part2 is what a reader with a key sends after part 1.
func part2(key [16]byte, part1 []byte, rndA [16]byte) []byte {
	rndB := rotated([16]byte(decrypt(key, [16]byte{}, part1)))
	return encrypt(key, [16]byte{}, append(rndA[:], rndB[:]...))
}

// authenticates opens a session.
func (s *scene) authenticates(rndA [16]byte) *session {
	s.Helper()
	part1 := s.want(stMore, cmdFirst, 1, 0)
	rndB := [16]byte(decrypt(s.key, [16]byte{}, part1))
	answer := decrypt(s.key, [16]byte{}, s.want(stDone, cmdMore, part2(s.key, part1, rndA)...))
	r := &session{keyNo: 1, rndA: rndA, ti: [4]byte(answer)}
	r.enc, r.mac = sessionKeys(s.key, rndA, rndB)
	return r
}

// fails is an authentication with a wrong key.
func (s *scene) fails() {
	s.Helper()
	s.want(stAuthentication, cmdMore, part2([16]byte{0xFF}, s.want(stMore, cmdFirst, 1, 0), [16]byte{7})...)
}

func TestStatesOfADESFire(t *testing.T) {
	s := newScene(t, nil)
	s.want(stNoSuchKey, cmdFirst, 1, 0) // at the level of the card
	s.want(stNoApplication, cmdSelectApplication, 1, 2, 3)
	s.want(stLength, cmdSelectApplication, 1, 2)
	s.want(stNoFile, cmdRead, 1, 0, 0, 0, 0, 0, 0)
	s.selects()
	s.want(stNoSuchKey, cmdFirst, 5, 0)
	for _, data := range [][]byte{{}, {1}, {1, 7, 0, 0, 0, 0, 0, 0, 0}, {1, 2, 0}} {
		s.want(stLength, cmdFirst, data...)
	}
	s.want(stMore, cmdFirst, append([]byte{1, 6}, make([]byte, 6)...)...)
	s.want(stLength, cmdMore, make([]byte, 31)...)
	s.want(stUnknownCommand, cmdMore, make([]byte, 32)...) // part 2 without part 1
	s.want(stMore, cmdFirst, 1, 0)
	s.want(stAborted, cmdVersion) // only AF may come between the parts
	s.want(stUnknownCommand, cmdMore, make([]byte, 32)...)
	s.want(stPermission, cmdFirst, 1, 1, 2) // LRP is wanted
	s.want(stPermission, cmdNonFirst, 1)    // no session yet
	s.want(stAuthentication, cmdUID)
	s.want(stUnknownCommand, 0x0A, 0)

	// What was pending is lost with the power, and so is the application.
	part1 := s.want(stMore, cmdFirst, 1, 0)
	s.Reset()
	s.want(stUnknownCommand, cmdMore, part2(s.key, part1, [16]byte{1})...)
	s.want(stNoSuchKey, cmdFirst, 1, 0)

	// A recorded part 2 is worth nothing.
	s.selects()
	recorded := part2(s.key, s.want(stMore, cmdFirst, 1, 0), [16]byte{1})
	s.want(stDone, cmdMore, recorded...)
	s.want(stMore, cmdFirst, 1, 0)
	s.want(stAuthentication, cmdMore, recorded...)

	s.authenticates([16]byte{2})
	s.selects() // ends the session
	s.want(stAuthentication, cmdUID, make([]byte, 8)...)
}

func TestAReaderThatRepeatsRndAIsNoticed(t *testing.T) {
	s := newScene(t, nil)
	s.selects()
	s.authenticates([16]byte{1})
	s.authenticates([16]byte{2})
	if n := s.Repeats(); n != 0 {
		t.Errorf("%d repeats", n)
	}
	s.authenticates([16]byte{1})
	if n := s.Repeats(); n != 1 || s.Authentications() != 2 {
		t.Errorf("%d repeats, %d authentications", n, s.Authentications())
	}
}

func TestSecureMessagingIsChecked(t *testing.T) {
	uid := func(r *session) []byte { mac := r.macOver(cmdUID); return mac[:] }
	for name, tc := range map[string]struct {
		status byte
		ins    byte
		data   func(*session) []byte
	}{
		"right":                 {stDone, cmdUID, uid},
		"no MAC":                {stLength, cmdUID, func(*session) []byte { return nil }},
		"a bit of the MAC":      {stIntegrity, cmdUID, func(r *session) []byte { m := uid(r); m[0] ^= 1; return m }},
		"whole CMAC":            {stLength, cmdUID, func(r *session) []byte { return append(uid(r), make([]byte, 8)...) }},
		"counter":               {stIntegrity, cmdUID, func(r *session) []byte { r.counter = 1; return uid(r) }},
		"TI":                    {stIntegrity, cmdUID, func(r *session) []byte { r.ti[3] ^= 1; return uid(r) }},
		"MAC of another code":   {stIntegrity, cmdUID, func(r *session) []byte { m := r.macOver(cmdFiles); return m[:] }},
		"read with the header":  {stMore, cmdRead, func(r *session) []byte { return maced(r, cmdRead, 2, 0, 0, 0, 0, 0, 0) }},
		"header in other order": {stIntegrity, cmdRead, func(r *session) []byte { m := maced(r, cmdRead, 0, 0, 0, 2, 0, 0, 0); m[0], m[3] = 2, 0; return m }},
		"beyond the end":        {stBoundary, cmdRead, func(r *session) []byte { return maced(r, cmdRead, 2, 200, 0, 0, 1, 0, 0) }},
		"padded":                {stDone, cmdWrite, func(r *session) []byte { return sealed(r, "abc\x80") }},
		"no padding":            {stIntegrity, cmdWrite, func(r *session) []byte { return sealed(r, "abc\x01") }},
		"nothing but zeros":     {stIntegrity, cmdWrite, func(r *session) []byte { return sealed(r, "\x00") }},
		"another length":        {stLength, cmdWrite, func(r *session) []byte { return sealed(r, "abcd\x80") }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			s.selects()
			r := s.authenticates([16]byte{3})
			s.want(tc.status, tc.ins, tc.data(r)...)
			if alive := s.session != nil; alive != (tc.status == stDone || tc.status == stMore) {
				t.Errorf("the session goes on: %v", alive)
			}
		})
	}
}

// maced is a command's header with its MAC.
func maced(r *session, ins byte, head ...byte) []byte {
	mac := r.macOver(ins, head)
	return append(head, mac[:]...)
}

// sealed writes 3 bytes to file 3 with this plain text, of which zeros make whole blocks.
func sealed(r *session, plain string) []byte {
	head := []byte{3, 0, 0, 0, 3, 0, 0}
	body := encrypt(r.enc, r.iv(false), padTo([]byte(plain), 16))
	mac := r.macOver(cmdWrite, head, body)
	return append(append(head, body...), mac[:]...)
}

func TestEachCommandCounts(t *testing.T) {
	s := newScene(t, nil)
	s.selects()
	r := s.authenticates([16]byte{3})
	mac := r.macOver(cmdUID)
	s.want(stDone, cmdUID, mac[:]...)
	s.want(stDone, cmdRead, 1, 0, 0, 0, 16, 0, 0) // plain, and counts as well
	r.counter = 2
	mac = r.macOver(cmdUID)
	s.want(stDone, cmdUID, mac[:]...)
	if a, _ := s.Authentication([16]byte{3}); a.UIDRead != 2 {
		t.Errorf("%+v", a)
	}
	s.session.counter, r.counter = lastCounter, lastCounter
	mac = r.macOver(cmdUID)
	s.want(stAborted, cmdUID, mac[:]...)
}

func TestVersionHasThreeFrames(t *testing.T) {
	s := newScene(t, nil)
	if hw := s.want(stMore, cmdVersion); hw[1] != 0x01 || hw[3] != 0x33 {
		t.Errorf("hardware %X", hw)
	}
	s.want(stMore, cmdMore)
	if p := s.want(stDone, cmdMore); !bytes.Equal(p[:7], s.o.UID[:]) || len(p) != 14 {
		t.Errorf("production %X", p)
	}
	s.want(stUnknownCommand, cmdMore)
	s.want(stMore, cmdVersion)
	s.want(stAborted, cmdUID)

	s = newScene(t, func(o *DESFireOptions) { o.Family, o.RandomID = NTAG424, true })
	if hw := s.want(stMore, cmdVersion); !bytes.Equal(hw, []byte{0x04, 0x04, 0x08, 0x30, 0x00, 0x11, 0x05}) {
		t.Errorf("hardware %X", hw)
	}
	s.want(stMore, cmdMore)
	if p := s.want(stDone, cmdMore); !bytes.Equal(p[:7], make([]byte, 7)) {
		t.Errorf("a card with a random UID tells the real one: %X", p)
	}
}

func TestAKeyIsDelayedAndLocked(t *testing.T) {
	s := newScene(t, nil)
	s.selects()
	for range failuresToDelay {
		s.fails()
	}
	answer, delay := s.Command([]byte{0x90, cmdFirst, 0, 0, 2, 1, 0, 0})
	if !bytes.Equal(answer, []byte{0x91, stDelay}) || delay != 50*time.Millisecond {
		t.Errorf("%X after %v", answer, delay)
	}
	s.authenticates([16]byte{1}) // one wait for the first failure too many
	if n := s.Failures(1); n != failuresToDelay-10 {
		t.Errorf("a success leaves %d failures", n)
	}
	s.authenticates([16]byte{2})

	s = newScene(t, func(o *DESFireOptions) { o.Failures = failuresToLock - 1 })
	s.selects()
	s.fails()
	s.want(stPermission, cmdFirst, 1, 0)
	s.want(stPermission, cmdFirst, 1, 0) // for ever
	s.want(stMore, cmdFirst, 2, 0)       // the other key was at 999 too, and is not locked
}

func TestLRP(t *testing.T) {
	s := newScene(t, func(o *DESFireOptions) { o.LRP = true })
	s.selects()
	s.want(stPermission, cmdFirst, 1, 0)
	if part1 := s.want(stMore, cmdFirst, 1, 1, 2); len(part1) != 17 || part1[0] != 0x01 {
		t.Errorf("part 1 of LRP: %X", part1)
	}
}

func TestNTAGTakesWrappedAndISOOnly(t *testing.T) {
	s := newScene(t, func(o *DESFireOptions) { o.Family = NTAG424 })
	s.want(stUnknownCommand, cmdSelectApplication, 0x30, 0x42, 0xF5)
	s.want(stNoSuchKey, cmdFirst, 1, 0)
	for apdu, want := range map[string]string{
		"\x60":                         "\x67\x00", // native
		"\x90\x60\x00\x00":             "\x67\x00", // no Le
		"\x90\x60\x01\x00\x00":         "\x6A\x86",
		"\x80\x60\x00\x00\x00":         "\x6E\x00",
		"\x00\xB0\x00\x00\x00":         "\x6D\x00",
		"\x00\xA4\x04\x00\x02\x01\x02": "\x6A\x82",
		"\x00\xA4\x04\x00\x07\xD2\x76\x00\x00\x85\x01\x01\x00": "\x90\x00",
	} {
		if answer, _ := s.Command([]byte(apdu)); string(answer) != want {
			t.Errorf("%X: %X, want %X", apdu, answer, want)
		}
	}
	s = newScene(t, nil)
	if answer, _ := s.Command([]byte("\x00\xA4\x04\x00\x09" + pivAID + "\x00")); string(answer) != "\x6A\x82" {
		t.Errorf("a DESFire answers SELECT PIV with %X", answer)
	}
}
