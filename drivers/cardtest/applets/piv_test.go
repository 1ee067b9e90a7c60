package applets

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"testing"
	"time"
)

func vectorCard(t *testing.T) *PIV {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), unhex(t, "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"))
	if err != nil {
		t.Fatal(err)
	}
	return NewPIV(PIVOptions{GUID: [16]byte{1, 2, 3}, Key: key, Certificate: make([]byte, 700)})
}

func TestVectorOfASignature(t *testing.T) {
	p := vectorCard(t)
	wrapSelect(p)
	hash := unhex(t, "AF2BDBE1AA9B6EC1E2ADE1D694F41FC71A831D0268E9891562113D8A62ADD1BF")
	answer, delay := p.Command(unhex(t, "0087119E267C2482008120AF2BDBE1AA9B6EC1E2ADE1D694F41FC71A831D0268E9891562113D8A62ADD1BF00"))
	want := unhex(t, "7C4A82483046022100EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716022100F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA89000")
	if !bytes.Equal(answer, want) || delay != 150*time.Millisecond {
		t.Errorf("%X after %v", answer, delay)
	}
	if !p.Signed(hash) || p.Signed(hash[:31]) || p.Signatures() != 1 {
		t.Error("the log does not know what was signed")
	}
}

// TestStatusWordsOfPIV goes through one session, in order.
func TestStatusWordsOfPIV(t *testing.T) {
	p := vectorCard(t)
	template := "7C248200812000112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"
	for _, s := range []struct{ apdu, sw string }{
		{"00CB3FFF055C035FC10200", "6D00"}, // nothing is selected
		{"00A404000BA00000030800001000020000", "6A82"},
		{"00A4040005A00000030800", "6A82"},
		{"00A4040C09A0000003080000100000", "6A86"},
		{"00A404000BA00000030800001000010000", "9000"},
		{"00A4040002123400", "6A82"}, // and PIV stays selected
		{"00CB3FFF055C035FC10200", "9000"},
		{"00CB3FFF055C035FC10500", "6A82"}, // the certificate of another key
		{"00CB3F00055C035FC10200", "6A86"},
		{"00CB3FFF055D035FC10200", "6A80"},
		{"00CB3FFF055C045FC10200", "6A80"},
		{"00CB3FFF065C035FC10200", "6A80"}, // a byte after the tag list
		{"0087119A26" + template + "00", "6982"},
		{"0087118226" + template + "00", "6A88"},
		{"0087079E26" + template + "00", "6A81"},
		{"0087149E26" + template + "00", "6A81"},
		{"0087119E267D2482008120" + template[12:] + "00", "6A80"},
		{"0087119E0B7C098200810501020304" + "0500", "6A80"}, // 5 bytes are no hash
		{"0087119E047C02820000", "6A80"},
		{"0087119E247C22812000112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF00", "6A80"}, // nothing is wanted
		{"0087119E267C24812000112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF820000", "9000"},
		{"00C0000000", "6985"},
		{"9060000000", "6E00"},
		{"8087119E26" + template + "00", "6E00"},
		{"00FF000000", "6D00"},
		{"0087", "6700"},
		// Chains of commands.
		{"1087119E10" + template[:32], "9000"},
		{"0087119E16" + template[32:] + "00", "9000"},
		{"1087119E10" + template[:32], "9000"},
		{"00CB3FFF055C035FC10200", "6883"},
		{"0087119E16" + template[32:] + "00", "6A80"}, // the chain is lost
	} {
		answer, _ := p.Command(unhex(t, s.apdu))
		if sw := answer[len(answer)-2:]; !bytes.Equal(sw, unhex(t, s.sw)) {
			t.Errorf("%s: %X, want %s", s.apdu, answer, s.sw)
		}
	}
	p.Reset()
	if answer, _ := p.Command(unhex(t, "00CB3FFF055C035FC10200")); !bytes.Equal(answer, unhex(t, "6D00")) {
		t.Errorf("after the loss of power: %X", answer)
	}
}

func TestLongAnswers(t *testing.T) {
	p := vectorCard(t)
	wrapSelect(p)
	get := func(apdu string, n int, sw string) []byte {
		t.Helper()
		answer, _ := p.Command(unhex(t, apdu))
		if len(answer) != n+2 || !bytes.Equal(answer[n:], unhex(t, sw)) {
			t.Fatalf("%s: %d bytes, %X; want %d, %s", apdu, len(answer)-2, answer[len(answer)-2:], n, sw)
		}
		return answer[:n]
	}
	const certificate, whole = "00CB3FFF055C035FC101", 4 + 4 + 700 + 3 + 2
	parts := bytes.Clone(get(certificate+"00", 256, "6100"))
	parts = append(parts, get("00C0000000", 256, "61C9")...)
	parts = append(parts, get("00C00000C9", 0xC9, "9000")...)
	one := get("00CB3FFF0000055C035FC1010000", whole, "9000") // extended length
	if !bytes.Equal(parts, one) {
		t.Error("the parts are not the whole")
	}
	get(certificate, 0, "6100") // no Le: there is something to fetch
	get("00C0000010", 16, "6100")
	get(certificate+"10", 16, "6100")
	get("00CB3FFF055C035FC10200", 61, "9000") // another command: the rest is lost
	get("00C0000010", 0, "6985")
	p.o.Short = true
	get("00CB3FFF0000055C035FC1010000", 0, "6700")
}
