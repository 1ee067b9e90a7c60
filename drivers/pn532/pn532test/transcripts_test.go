package pn532test_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// TestFrames holds the chip against whole frames: the examples of the manual, and
// logs of real boards where a card is named.
func TestFrames(t *testing.T) {
	const classic, desfire = "4A8D694F", "044F8532A93780"
	for _, tt := range []struct {
		name, cards string
		lines       [][2]string // what the host writes, and what it then reads behind the ACK
	}{
		{"GetFirmwareVersion", "", [][2]string{{"0000FF02FED4022A00", "0000FF06FAD50332010607E800"}}},
		{"SAMConfiguration", "", [][2]string{
			{"0000FF05FBD4140114010200", "0000FF02FED5151600"},
			{"0000FF04FCD41401001700", "0000FF02FED5151600"},
		}},
		{"SetParameters", "", [][2]string{{"0000FF03FDD412140600", "0000FF02FED5131800"}}},
		{"RFConfiguration", "", [][2]string{
			{"0000FF06FAD43205FF0102F300", "0000FF02FED533F800"},
			{"0000FF04FCD4320100F900", "0000FF02FED533F800"},
			{"0000FF04FCD4320101F800", "0000FF02FED533F800"},
		}},
		{"nobody there", "", [][2]string{{"0000FF04FCD44A0100E100", "0000FF03FDD54B00E000"}}},
		{"a DESFire", desfire, [][2]string{
			{"0000FF04FCD44A0100E100", "0000FF15EBD54B010103442007044F8532A937800675778102801100"},
		}},
		{"a Classic and a DESFire", classic + " " + desfire, [][2]string{
			// The first ATQA is that of both cards, who answer the first request together.
			{"0000FF04FCD44A0200E000", "0000FF1EE2D54B0201034408044A8D694F0203442007044F8532A937800675778102802C00"},
		}},
		{"a Classic", classic, [][2]string{
			{"0000FF04FCD44A0100E100", "0000FF0CF4D54B0101000408044A8D694F3F00"},
			{"0000FF03FDD44401E700", "0000FF03FDD54500E600"},
			{"0000FF03FDD45401D700", "0000FF03FDD55500D600"},
			{"0000FF03FDD45200DA00", "0000FF03FDD55300D800"},
		}},
		{"an unknown target", "", [][2]string{{"0000FF0AF6D4400190AA0000010000B000", "0000FF03FDD54127C300"}}},
		{"an answer that never comes", classic, [][2]string{
			{"0000FF04FCD44A0100E100", "0000FF0CF4D54B0101000408044A8D694F3F00"},
			{"0000FF05FBD440013004B700", "0000FF03FDD54101E900"},
		}},
		{"R(NAK) by InCommunicateThru", desfire, [][2]string{
			{"0000FF04FCD44A0100E100", "0000FF15EBD54B010103442007044F8532A937800675778102801100"},
			{"0000FF03FDD442B23800", "0000FF04FCD54300A34500"},
			{"0000FF03FDD442C22800", "0000FF04FCD54300C22600"}, // S(DESELECT)
		}},
		{"Diagnose", "", [][2]string{{"0000FF05FBD40000AABBC700", "0000FF05FBD50100AABBC500"}}},
		{"a command that is none", "", [][2]string{{"0000FF02FED4992F0000", "0000FF01FF7F8100"}}},
	} {
		in(t, tt.name, func(t *testing.T) {
			r := ready(t)
			for uid := range strings.FieldsSeq(tt.cards) {
				technology := card.MifareClassic1K
				if uid == desfire {
					technology = card.ISO14443_4
				}
				r.put(uid, technology)
			}
			for _, line := range tt.lines {
				if line[0] == "0000FF02FED4992F0000" {
					line[0] = command("98")
				}
				r.write(line[0])
				if !r.wait(15*time.Millisecond) || r.read(6) != ack {
					t.Fatalf("%s is not acknowledged", line[0])
				}
				if !r.wait(time.Second) {
					t.Fatalf("%s is not answered", line[0])
				}
				if got := r.read(len(line[1]) / 2); got != line[1] {
					t.Errorf("%s is answered with\n%s, want\n%s", line[0], got, line[1])
				}
			}
			if tt.name != "a command that is none" {
				r.finish()
			}
		})
	}
}

// TestWireImage is the first exchange as it looks on the wires, where bits run the
// other way round than on a Pi's side.
func TestWireImage(t *testing.T) {
	in(t, "GetFirmwareVersion", func(t *testing.T) {
		r := ready(t)
		raw := func(w string) string {
			t.Helper()
			buf := unhex(w)
			if err := r.bus.Tx(buf, buf); err != nil {
				t.Fatal(err)
			}
			return strings.ToUpper(hex.EncodeToString(buf[1:]))
		}
		raw("80 0000FF407F2B405400")
		time.Sleep(time.Millisecond)
		for _, line := range [][2]string{
			{"4000", "80"},
			{"C0000000000000", "0000FF00FF00"},
			{"4000", "00"},
		} {
			if got := raw(line[0]); got != line[1] {
				t.Errorf("%s: %s, want %s", line[0], got, line[1])
			}
		}
		time.Sleep(time.Millisecond)
		if got := raw("4000"); got != "80" {
			t.Errorf("status %s", got)
		}
		if got := raw("C0" + strings.Repeat("00", 13)); got != "0000FF605FABC04C8060E01700" {
			t.Errorf("response %s", got)
		}
		r.finish()
	})
}

// TestTargetData is how cards of every kind are reported (manual, section 7.3.5).
func TestTargetData(t *testing.T) {
	for _, tt := range []struct {
		name string
		card func(r *rig)
		ask  string
		want string
	}{
		{"four bytes", func(r *rig) { r.put("DEADBEEF", card.MifareClassic1K) }, "4A 01 00", "01 01 0004 08 04 DEADBEEF"},
		{"seven bytes", func(r *rig) { r.put("04C63A63110189", card.MifareUltralight) }, "4A 01 00", "01 01 0044 00 07 04C63A63110189"},
		{"ten bytes", func(r *rig) { r.put("0102030405060708090A", card.MifareClassic4K) }, "4A 01 00", "01 01 0082 18 0A 0102030405060708090A"},
		{"a clone that begins with 88", func(r *rig) { r.put("88112233", card.MifareClassic1K) }, "4A 01 00", "01 01 0004 08 04 88112233"},
		{"processor card", func(r *rig) { r.put("DEADBEEF", card.ISO14443_4) }, "4A 01 00", "01 01 0304 20 04 DEADBEEF 067577810280"},
		{"processor card without RATS", func(r *rig) {
			r.ask("12 04", "")
			r.put("DEADBEEF", card.ISO14443_4)
		}, "4A 01 00", "01 01 0304 20 04 DEADBEEF"},
		{"type B", func(r *rig) { r.field.Put(cardtest.NewTypeB([4]byte{1, 2, 3, 4})) }, "4A 01 03 00", "01 01 50 01020304 00000000 008181 01 00"},
		{"type B among type A", func(r *rig) {
			r.field.Put(cardtest.NewTypeB([4]byte{1, 2, 3, 4}))
			r.put("DEADBEEF", card.MifareClassic1K)
		}, "4A 01 03 00", "01 01 50 01020304 00000000 008181 01 00"},
		{"type A among type B", func(r *rig) {
			r.field.Put(cardtest.NewTypeB([4]byte{1, 2, 3, 4}))
			r.put("DEADBEEF", card.MifareClassic1K)
		}, "4A 02 00", "01 01 0004 08 04 DEADBEEF"},
		{"of two, the one that is meant", func(r *rig) {
			r.put("DEADBEEF", card.MifareClassic1K)
			r.put("DEADBEEE", card.MifareClassic1K)
		}, "4A 01 00 DEADBEEE", "01 01 0004 08 04 DEADBEEE"},
		{"seven bytes that are meant", func(r *rig) {
			r.put("04C63A63110189", card.MifareUltralight)
			r.put("04C63A63110188", card.MifareUltralight)
		}, "4A 02 00 88 04C63A63110188", "01 01 0044 00 07 04C63A63110188"},
		{"the one that is meant is not there", func(r *rig) { r.put("DEADBEEF", card.MifareClassic1K) }, "4A 01 00 DEADBEEE", "00"},
		{"bad BCC", faulty(cardtest.BadBCC), "4A 01 00", "00"},
		{"bad CRC", faulty(cardtest.BadCRC), "4A 01 00", "00"},
		{"bad parity", faulty(cardtest.BadParity), "4A 01 00", "00"},
		{"short SAK", faulty(cardtest.ShortSAK), "4A 01 00", "00"},
		{"short ATQA", faulty(cardtest.ShortATQA), "4A 01 00", "00"},
	} {
		in(t, tt.name, func(t *testing.T) {
			r := ready(t)
			tt.card(r)
			r.ask(tt.ask, tt.want)
			r.finish()
		})
	}
}

func faulty(f cardtest.Fault) func(*rig) {
	return func(r *rig) { r.put("DEADBEEF", card.MifareClassic1K).SetFault(f) }
}

// TestTwoOfTypeB needs the slots of the anticollision.
func TestTwoOfTypeB(t *testing.T) {
	in(t, "two", func(t *testing.T) {
		r := ready(t)
		r.field.Put(cardtest.NewTypeB([4]byte{1, 2, 3, 4}), cardtest.NewTypeB([4]byte{9, 9, 9, 9}))
		r.ask("32 05 FF 01 08", "")
		found := map[string]bool{}
		for range 10 {
			r.send("4A 02 03 00")
			got := r.response(time.Second)
			for i := range int(got[1] - '0') {
				found[got[2+30*i+4:][:8]] = true
			}
			r.ask("32 01 00", "")
		}
		if len(found) != 2 {
			t.Errorf("found %v", found)
		}
		r.finish()
	})
}

// TestExtendedFrames: what is longer than 255 bytes goes and comes in them.
func TestExtendedFrames(t *testing.T) {
	for _, n := range []int{1, 250, 252, 253, 254, 262} {
		in(t, fmt.Sprint(n), func(t *testing.T) {
			r := ready(t)
			echo := strings.Repeat("5A", n)
			r.write(strings.ToUpper(hex.EncodeToString(wrap(unhex("D40000" + echo)))))
			if !r.wait(15*time.Millisecond) || r.read(6) != ack || !r.wait(time.Second) {
				t.Fatal("no answer")
			}
			want := strings.ToUpper(hex.EncodeToString(wrap(unhex("D50100" + echo))))
			if got := r.read(len(want) / 2); got != want {
				t.Errorf("got %s", got)
			}
			r.finish()
		})
	}
	in(t, "a short one in an extended frame", func(t *testing.T) {
		r := ready(t)
		r.write("0000FFFFFF0002FED4022A00")
		if !r.wait(15*time.Millisecond) || r.read(6) != ack || r.response(time.Second) != "32010607" {
			t.Error("not understood")
		}
		r.finish()
	})
}
