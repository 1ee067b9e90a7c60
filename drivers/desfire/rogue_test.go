package desfire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"presence/drivers/card"
	"presence/drivers/cardtest/linktest"
)

// answers is a card that gives one answer after the other, whatever it is asked, and then
// is gone.
type answers struct {
	list [][]byte
	sent [][]byte
}

func (a *answers) ATS() []byte { return nil }

func (a *answers) Exchange(_ context.Context, command []byte) ([]byte, error) {
	a.sent = append(a.sent, bytes.Clone(command))
	if len(a.sent) > len(a.list) {
		return nil, fmt.Errorf("exchange: %w", card.ErrGone)
	}
	return a.list[len(a.sent)-1], nil
}

// answering makes a card of answers in hex digits.
func answering(t testing.TB, list ...string) *answers {
	t.Helper()
	a := new(answers)
	for _, s := range list {
		a.list = append(a.list, linktest.Unhex(t, s))
	}
	return a
}

// The answers of the transcript.
const (
	first  = "B9FC6CCAE153125C7C17E6906433C0F4 91AF"
	second = "8138FD2450891FCDB4935D9F19C30B55FAD52DC54086933E0FBEC3DE9266BD80 9100"
	third  = "CDFFBF6D34231DA2789DA9D3AB15D560 CE75E39EDBE94C2F 9100"
)

// prove authenticates the transcript's card and reads its UID.
func prove(t testing.TB, link card.Link) (card.UID, error) {
	t.Helper()
	s, err := Authenticate(t.Context(), link, 0, Key(linktest.Unhex(t, transcriptKey)), bytes.NewReader(linktest.Unhex(t, transcriptRndA)))
	if err != nil {
		return card.UID{}, err
	}
	return s.UID(t.Context())
}

// TestRogues lets a card answer wrongly at each place. None proves anything, each has its
// error, and after the answer that was wrong the card is asked nothing more.
func TestRogues(t *testing.T) {
	key := Key(linktest.Unhex(t, transcriptKey))
	plain := key.decrypt(linktest.Unhex(t, second[:64]))
	forged := func(change func(plain []byte)) string { // by somebody who knows the key
		p := bytes.Clone(plain)
		change(p)
		return fmt.Sprintf("%X 9100", key.encrypt(p))
	}
	for name, tc := range map[string]struct {
		answers []string
		want    error
		sent    int // commands
	}{
		"gone at once":                    {nil, card.ErrGone, 1},
		"no such command (6D00)":          {[]string{"6D00"}, ErrAbsent, 1},
		"no such command (911C)":          {[]string{"911C"}, ErrAbsent, 1},
		"no such key":                     {[]string{"9140"}, ErrNoKey, 1},
		"locked key, or LRP only":         {[]string{"919D"}, ErrLocked, 1},
		"delay after failures":            {[]string{"91AD"}, ErrLocked, 1},
		"LRP":                             {[]string{"01 B9FC6CCAE153125C7C17E6906433C0F4 91AF"}, ErrLRP, 1},
		"first half without status":       {[]string{""}, ErrMalformed, 1},
		"first half of one byte":          {[]string{"91"}, ErrMalformed, 1},
		"first half of 15 bytes":          {[]string{first[2:]}, ErrMalformed, 1},
		"first half of 17 bytes":          {[]string{"02" + first}, ErrMalformed, 1},
		"first half of 32 bytes":          {[]string{first[:32] + first}, ErrMalformed, 1},
		"first half without data":         {[]string{"91AF"}, ErrMalformed, 1},
		"first half that is the end":      {[]string{first[:32] + "9100"}, ErrMalformed, 1},
		"first half by ISO status":        {[]string{first[:32] + "9000"}, ErrMalformed, 1},
		"gone between the halves":         {[]string{first}, ErrPending, 2},
		"answer without status":           {[]string{first, ""}, ErrPending, 2},
		"wrong key":                       {[]string{first, "91AE"}, ErrWrongKey, 2},
		"wrong key, by ISO status":        {[]string{first, "6982"}, ErrWrongKey, 2},
		"locked at the second half":       {[]string{first, "919D"}, ErrLocked, 2},
		"delay at the second half":        {[]string{first, "91AD"}, ErrLocked, 2},
		"aborted":                         {[]string{first, "91CA"}, ErrMalformed, 2},
		"second half of 31 bytes":         {[]string{first, second[2:]}, ErrMalformed, 2},
		"second half of 33 bytes":         {[]string{first, "00" + second}, ErrMalformed, 2},
		"second half of 16 bytes":         {[]string{first, second[:32] + "9100"}, ErrMalformed, 2},
		"second half of 48 bytes":         {[]string{first, second[:64] + second[:32] + "9100"}, ErrMalformed, 2},
		"second half without data":        {[]string{first, "9100"}, ErrMalformed, 2},
		"second half that goes on":        {[]string{first, second[:64] + "91AF"}, ErrMalformed, 2},
		"zeros for RndA'":                 {[]string{first, strings.Repeat("00", 32) + "9100"}, ErrRnd, 2},
		"our own half sent back":          {[]string{first, "C8B3AFDEC10EE8298471A7B41736B4381BA1BE0F57F66387C5577721B70F847F 9100"}, ErrRnd, 2},
		"RndA not rotated":                {[]string{first, forged(func(p []byte) { copy(p[4:], linktest.Unhex(t, transcriptRndA)) })}, ErrRnd, 2},
		"last bit of RndA' wrong":         {[]string{first, forged(func(p []byte) { p[19] ^= 1 })}, ErrRnd, 2},
		"first bit of RndA' wrong":        {[]string{first, forged(func(p []byte) { p[4] ^= 0x80 })}, ErrRnd, 2},
		"TI changed on the air":           {[]string{first, forged(func(p []byte) { p[0] ^= 1 }), third}, ErrMAC, 3},
		"gone before the UID":             {[]string{first, second}, card.ErrGone, 3},
		"UID refused":                     {[]string{first, second, "911E"}, ErrMAC, 3},
		"UID without MAC":                 {[]string{first, second, third[:32] + "9100"}, ErrMalformed, 3},
		"UID in plain":                    {[]string{first, second, "04DE5F1EACC040 9100"}, ErrMalformed, 3},
		"UID of no bytes":                 {[]string{first, second, "9100"}, ErrMalformed, 3},
		"UID and more":                    {[]string{first, second, third[:33] + "00" + third[33:]}, ErrMalformed, 3},
		"UID that goes on":                {[]string{first, second, third[:49] + "91AF"}, ErrMalformed, 3},
		"no longer authenticated":         {[]string{first, second, "91AE"}, ErrDenied, 3},
		"wrong MAC":                       {[]string{first, second, third[:33] + "CE75E39EDBE94C2E 9100"}, ErrMAC, 3},
		"MAC of zeros":                    {[]string{first, second, third[:33] + "0000000000000000 9100"}, ErrMAC, 3},
		"UID changed on the air":          {[]string{first, second, "CC" + third[2:]}, ErrMAC, 3},
		"MAC of the command sent back":    {[]string{first, second, third[:33] + "5CA9EF7C912A391B 9100"}, ErrMAC, 3},
		"MAC as the first 8 bytes":        {[]string{first, second, third[:33] + "DACE5E751BE3DC9E 9100"}, ErrMAC, 3},
		"UID of an authentication before": {[]string{first, second, "A1B2C3D4E5F60718293A4B5C6D7E8F90 1122334455667788 9100"}, ErrMAC, 3},
	} {
		t.Run(name, func(t *testing.T) {
			a := answering(t, tc.answers...)
			uid, err := prove(t, a)
			if !errors.Is(err, tc.want) || uid != (card.UID{}) {
				t.Errorf("UID %v, error %v, want %v", uid, err, tc.want)
			}
			if len(a.sent) != tc.sent {
				t.Errorf("%d commands, want %d", len(a.sent), tc.sent)
			}
		})
	}
}

// TestCapabilities: what a card says of itself in its answer is no part of the proof.
func TestCapabilities(t *testing.T) {
	key := Key(linktest.Unhex(t, transcriptKey))
	plain := key.decrypt(linktest.Unhex(t, second[:64]))
	copy(plain[20:], linktest.Unhex(t, "FFFFFFFFFFFF 123456789ABC"))
	uid, err := prove(t, answering(t, first, fmt.Sprintf("%X 9100", key.encrypt(plain)), third))
	if err != nil || uid.String() != "04DE5F1EACC040" {
		t.Errorf("UID %v, %v", uid, err)
	}
}

// TestReplay plays a session that was recorded to a reader that makes another challenge.
func TestReplay(t *testing.T) {
	a := answering(t, first, second, third)
	_, err := Authenticate(t.Context(), a, 0, Key(linktest.Unhex(t, transcriptKey)), bytes.NewReader(bytes.Repeat([]byte{1}, 16)))
	if !errors.Is(err, ErrRnd) {
		t.Errorf("error is %v", err)
	}
}

// TestOneAttempt: whatever a card answers, one call sends one first half and at most one
// second half, and neither twice.
func TestOneAttempt(t *testing.T) {
	for sw := range 0x10000 {
		for _, list := range [][]string{{fmt.Sprintf("%04X", sw)}, {first, fmt.Sprintf("%04X", sw)}} {
			if sw == statusMore && len(list) == 1 {
				continue // 16 bytes missing: among the rogues
			}
			a := answering(t, list...)
			if _, err := prove(t, a); err == nil {
				t.Fatalf("status %04X was taken for a proof", sw)
			}
			if len(a.sent) != len(list) {
				t.Fatalf("status %04X: %d commands after %d answers", sw, len(a.sent), len(list))
			}
		}
	}
}

// TestChallengeFails: without a challenge of our own the card is not even asked.
func TestChallengeFails(t *testing.T) {
	a := answering(t, first, second)
	for n := range 16 {
		if _, err := Authenticate(t.Context(), a, 0, Key{}, bytes.NewReader(make([]byte, n))); err == nil || len(a.sent) != 0 {
			t.Errorf("with %d random bytes: error %v, %d commands", n, err, len(a.sent))
		}
	}
}

// TestPendingKeepsCause: the caller learns what has become of the link as well.
func TestPendingKeepsCause(t *testing.T) {
	for _, cause := range []error{card.ErrGone, card.ErrTooSlow, card.ErrProtocol, context.Canceled} {
		s := linktest.Play(t, "> 9071000002000000\n< "+first+"\n> 90AF000020C8B3AFDEC10EE8298471A7B41736B4381BA1BE0F57F66387C5577721B70F847F00")
		s.Err = cause
		if _, err := prove(t, s); !errors.Is(err, ErrPending) || !errors.Is(err, cause) {
			t.Errorf("error is %v", err)
		}
	}
	// Before the second half nothing has been counted.
	s := linktest.Play(t, "> 9071000002000000")
	s.Err = card.ErrGone
	if _, err := prove(t, s); errors.Is(err, ErrPending) || !errors.Is(err, card.ErrGone) {
		t.Errorf("error is %v", err)
	}
}

// TestCounter: the second command of a session counts from one, in the answer from two.
func TestCounter(t *testing.T) {
	s := &Session{ti: [4]byte(linktest.Unhex(t, "569D4B24")), encrypt: Key{1}, mac: Key{2}}
	for n := range uint16(3) {
		var before, after [2]byte
		binary.LittleEndian.PutUint16(before[:], n)
		binary.LittleEndian.PutUint16(after[:], n+1)
		command := s.mac.cmac(slices.Concat([]byte{0x51}, before[:], s.ti[:]))
		s.link = linkFunc(func(got []byte) []byte {
			for i := range 8 {
				if got[5+i] != command[2*i+1] {
					t.Errorf("command %d has MAC % X", n, got[5:13])
					break
				}
			}
			return sealed(s, after, "04A1B2C3D4E5F6")
		})
		uid, err := s.UID(t.Context())
		if err != nil || uid.String() != "04A1B2C3D4E5F6" {
			t.Fatalf("command %d: UID %v, %v", n, uid, err)
		}
	}
}

// linkFunc is a card that is a function.
type linkFunc func(command []byte) []byte

func (linkFunc) ATS() []byte { return nil }

func (f linkFunc) Exchange(_ context.Context, command []byte) ([]byte, error) { return f(command), nil }

// sealed is an answer to GetCardUID by a card that knows the session's keys.
func sealed(s *Session, counter [2]byte, plain string) []byte {
	block := []byte{0x80, 15: 0}
	uid, err := card.ParseUID(plain)
	if err != nil {
		panic(err)
	}
	block = append(uid.Bytes(), block...)[:16]
	iv := append([]byte{0x5A, 0xA5}, s.ti[:]...)
	iv = append(append(iv, counter[:]...), make([]byte, 8)...)
	s.encrypt.block().Encrypt(iv, iv)
	xor(block, iv)
	s.encrypt.block().Encrypt(block, block)
	full := s.mac.cmac(slices.Concat([]byte{0x00}, counter[:], s.ti[:], block))
	for i := range 8 {
		block = append(block, full[2*i+1])
	}
	return append(block, 0x91, 0x00)
}

// TestPadding: an answer that decrypts to anything but seven bytes and their padding is no
// UID, even with the right MAC.
func TestPadding(t *testing.T) {
	for _, plain := range []string{"04A1B2C3", "04A1B2C3D4E5F6070809"} { // UIDs of 4 and 10 bytes
		s := &Session{encrypt: Key{1}, mac: Key{2}}
		s.link = linkFunc(func([]byte) []byte { return sealed(s, [2]byte{1, 0}, plain) })
		if uid, err := s.UID(t.Context()); !errors.Is(err, ErrMalformed) {
			t.Errorf("UID %v, %v", uid, err)
		}
	}
}

// TestClosed: after an error, after Close and after the last command that its counter allows
// a session sends nothing more, and its keys are gone.
func TestClosed(t *testing.T) {
	closed := &Session{encrypt: Key{1}, mac: Key{2}, link: answering(t, third)}
	closed.Close()
	failed := &Session{encrypt: Key{1}, mac: Key{2}, link: answering(t, "911E", third)}
	if _, err := failed.UID(t.Context()); !errors.Is(err, ErrMAC) {
		t.Errorf("error is %v", err)
	}
	last := &Session{encrypt: Key{1}, mac: Key{2}, link: answering(t, third), counter: 0xFFFF}
	for name, s := range map[string]*Session{"closed": closed, "failed": failed, "last": last} {
		sent := len(s.link.(*answers).sent)
		if _, err := s.UID(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: error is %v", name, err)
		}
		if s.encrypt != (Key{}) || s.mac != (Key{}) || len(s.link.(*answers).sent) != sent {
			t.Errorf("%s: keys %v, %d commands", name, s.encrypt == Key{}, len(s.link.(*answers).sent))
		}
	}
}

// TestKeyIsHidden: no verb and no logger prints a key.
func TestKeyIsHidden(t *testing.T) {
	key := Key(linktest.Unhex(t, transcriptKey))
	holder := struct{ K Key }{key}
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		fmt.Fprintf(&b, verb+" "+verb+"\n", key, holder)
	}
	timeless := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	slog.New(slog.NewTextHandler(&b, timeless)).Info("text", "key", key, "holder", holder)
	slog.New(slog.NewJSONHandler(&b, timeless)).Info("json", "key", key, "holder", holder)
	for _, leak := range []string{"0123", "35", "103", "4567"} { // hex, and bytes in decimal
		if strings.Contains(b.String(), leak) {
			t.Errorf("%q in\n%s", leak, b.String())
		}
	}
	if n := strings.Count(b.String(), hidden); n != 2*8+4 {
		t.Errorf("%d times %q in\n%s", n, hidden, b.String())
	}
}
