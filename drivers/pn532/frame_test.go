package pn532

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// TestCommandFrames holds commands against frames of the user manual and of logs of
// real readers.
func TestCommandFrames(t *testing.T) {
	for payload, want := range map[string]string{
		"02":                   "0000FF02FED4022A00",
		"14 01 14 01":          "0000FF05FBD4140114010200",
		"12 14":                "0000FF03FDD412140600",
		"32 05 FF 01 02":       "0000FF06FAD43205FF0102F300",
		"32 01 00":             "0000FF04FCD4320100F900",
		"32 01 01":             "0000FF04FCD4320101F800",
		"4A 01 00":             "0000FF04FCD44A0100E100",
		"42 B2":                "0000FF03FDD442B23800",
		"52 00":                "0000FF03FDD45200DA00",
		"00 00 AA BB":          "0000FF05FBD40000AABBC700",
		"40 01 90AA0000010000": "0000FF0AF6D4400190AA0000010000B000",
	} {
		p := unhex(t, payload)
		if got := fmt.Sprintf("%X", appendCommand(nil, p[0], p[1:]...)); got != want {
			t.Errorf("%s: %s, want %s", payload, got, want)
		}
	}
}

// Longer commands have another length field, and the script takes both apart.
func TestLengthOfCommands(t *testing.T) {
	for _, n := range []int{0, 1, 252, 253, 254, 255, 262} {
		b := appendCommand(nil, cmdDiagnose, make([]byte, n)...)
		code, params, err := commandOf(b)
		if err != nil || code != cmdDiagnose || len(params) != n {
			t.Errorf("%d parameters: %02X with %d, %v", n, code, len(params), err)
		}
		if extended := b[3] == 0xFF && b[4] == 0xFF; extended != (n+2 > 255) {
			t.Errorf("%d parameters: frame % X", n, b[:8])
		}
	}
}

// TestReplyFrames reads frames of the user manual and of logs of real readers.
func TestReplyFrames(t *testing.T) {
	long := bytes.Repeat([]byte{0x5A}, 263)
	for _, tt := range []struct {
		name, frame string
		kind        kind
		code        byte
		data        string
	}{
		{"firmware version", "0000FF06FAD50332010607E800", frameInfo, 0x03, "32010607"},
		{"leading zero missing", "00FF06FAD50332010607E800", frameInfo, 0x03, "32010607"},
		{"more leading zeros", "0000000000FF06FAD50332010607E800", frameInfo, 0x03, "32010607"},
		{"bytes behind it", "0000FF02FED5151600 0000FF00FF00", frameInfo, 0x15, ""},
		{"no card", "0000FF03FDD54B00E000", frameInfo, 0x4B, "00"},
		{"a DESFire", "0000FF15EBD54B010103442007044F8532A937800675778102801100", frameInfo, 0x4B, "010103442007044F8532A93780067577810280"},
		{"extended with a short length", "0000FFFFFF0002FED5151600", frameInfo, 0x15, ""},
		{"extended", fmt.Sprintf("%X", replyFrame(0x01, long...)), frameInfo, 0x01, fmt.Sprintf("%X", long)},
		{"ACK", "0000FF00FF00", frameACK, 0, ""},
		{"ACK, leading zero missing", "00FF00FF00", frameACK, 0, ""},
		{"NACK", "0000FFFF0000", frameNACK, 0, ""},
		{"error", "0000FF01FF7F8100", frameError, 0, ""},
	} {
		f, err := parseFrame(unhex(t, tt.frame))
		if err != nil || f.kind != tt.kind || f.code != tt.code || !bytes.Equal(f.data, unhex(t, tt.data)) {
			t.Errorf("%s: %+v, %v", tt.name, f, err)
		}
	}
}

func TestDamagedFrames(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                    "",
		"zeros only":                 "0000000000000000",
		"ones only":                  "FFFFFFFFFFFFFFFFFFFF",
		"no zero":                    "FF06FAD50332010607E800",
		"too many zeros":             "000000000000000000FF06FAD50332010607E800",
		"garbage in front":           "010000FF06FAD50332010607E800",
		"LCS":                        "0000FF06FBD50332010607E800",
		"DCS":                        "0000FF06FAD50332010607E900",
		"postamble":                  "0000FF06FAD50332010607E801",
		"postamble of an ACK":        "0000FF00FF01",
		"LCS of an extended frame":   "0000FFFFFF0002FFD5151600",
		"length 0 in an extended":    "0000FFFFFF00000000",
		"longer than the chip sends": "0000FFFFFF010AF5" + "D5",
		"of the host":                "0000FF02FED4022A00",
		"one byte":                   "0000FF01FFD52B00",
		"another error code":         "0000FF01FF7E8200",
		"a frame inside of another":  "0001FF11EFD54B01010000FF08F8D54B010100040800000000",
	} {
		if f, err := parseFrame(unhex(t, text)); !errors.Is(err, errFrame) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	// Cut at each byte, and each bit turned round.
	for _, text := range []string{"0000FF06FAD50332010607E800", "0000FF00FF00", "0000FF01FF7F8100", "0000FFFFFF0002FED5151600"} {
		whole := unhex(t, text)
		was, err := parseFrame(whole)
		if err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			if f, err := parseFrame(whole[:n]); !errors.Is(err, errFrame) {
				t.Errorf("%s cut to %d bytes: %+v, %v", text, n, f, err)
			}
		}
		for n := range 8 * len(whole) {
			b := bytes.Clone(whole)
			b[n/8] ^= 1 << (n % 8)
			// What is before the start code may be any number of zeros.
			if f, err := parseFrame(b); err == nil && (f.kind != was.kind || f.code != was.code || !bytes.Equal(f.data, was.data)) {
				t.Errorf("%s with bit %d turned round: %+v", text, n, f)
			}
		}
	}
}

// FuzzFrame feeds the parser anything. What it takes for a reply is the reply that the
// same bytes make, and a single bit that is turned round is never taken for another.
func FuzzFrame(f *testing.F) {
	for _, text := range []string{
		"0000FF06FAD50332010607E800", "00FF06FAD50332010607E800", "0000FF15EBD54B010103442007044F8532A937800675778102801100",
		"0000FF00FF00", "0000FFFF0000", "0000FF01FF7F8100", "0000FFFFFF0002FED5151600", "0000FF1EE2D54B0201000408044A8D694F0203442007044F8532A937800675778102806F00",
		"FFFFFFFFFFFFFFFF", "0000000000000000", "AAAAAAAAAAAAAA", "003FDFFF", "0000FFFFFF0109F6D501",
	} {
		f.Add(unhex(f, text), uint16(20))
	}
	f.Fuzz(func(t *testing.T, b []byte, bit uint16) {
		got, err := parseFrame(b)
		if err != nil {
			if !errors.Is(err, errFrame) {
				t.Fatalf("%v", err)
			}
			return
		}
		if got.kind != frameInfo {
			return
		}
		if len(got.data) > maxData-1 {
			t.Fatalf("%d bytes of data", len(got.data))
		}
		zeros := bytes.IndexByte(b, 0xFF) - 1
		want := replyFrame(got.code, got.data...)[1:]
		if now := b[zeros:]; !(now[2] == 0xFF && now[3] == 0xFF) && !bytes.HasPrefix(now, want) {
			t.Fatalf("% X was taken for % X", b, want)
		}
		damaged := bytes.Clone(b)
		damaged[int(bit)%(8*len(b))/8] ^= 1 << (bit % 8)
		if f, err := parseFrame(damaged); err == nil && f.kind == frameInfo && (f.code != got.code || !bytes.Equal(f.data, got.data)) {
			t.Fatalf("% X was taken for %+v", damaged, f)
		}
	})
}

// FuzzTarget feeds what a card can have a say in to the parsers of targets.
func FuzzTarget(f *testing.F) {
	for _, text := range []string{
		"00", "0101000408044A8D694F", "010103442007044F8532A93780067577810280", "01018800040A0102030405060708090A",
		"010150E80C4D0E00000000008171 0100", "02", "0101", "010100440407",
	} {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		target, err := oneTarget(b)
		if err != nil || target == nil {
			return
		}
		if c, err := parseA(target); err == nil || errors.Is(err, errParameters) {
			uid := c.UID.Bytes()
			if len(uid) != int(target[3]) || !bytes.Equal(uid, target[4:4+len(uid)]) || c.SAK != target[2] || c.SAK&sakCascade != 0 || c.TypeB {
				t.Fatalf("% X was taken for %+v", target, c)
			}
		}
		if pupi, err := parseB(target); err == nil && (target[0] != 0x50 || !bytes.Equal(pupi.Bytes(), target[1:5])) {
			t.Fatalf("% X was taken for %v", target, pupi)
		}
	})
}
