package applets

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key16(t *testing.T, s string) [16]byte { t.Helper(); return [16]byte(unhex(t, s)) }

func TestVectorsOfDiversification(t *testing.T) {
	const first = "00112233445566778899AABBCCDDEEFF"
	for _, v := range []struct{ key, input, want, plain string }{
		{first, "04782E21801D803042F54E585020416275", "A8DD63A3B89D54B37CA802473FDA9175", "A8DD63A3B89D54B37CA802473FDA9175"},
		{first, "04782E21801D80", "4FD3364753B8142980E8203C75AD83BE", "B3179E2D918AC5190815983B054B63AD"},
		{first, "04782E21801D803042F5", "0DAA19EEEA04340DE38A20330013090D", "5351D428BEE43D9CF694523596A09EB6"},
		{"83A66CF43605111802A2616FA0C5E2FF", "044D0702195E80DADADA715517", "555F624020C5789340350914E92A64F9", "DAE9B8D3136B2DAE35D58678F378B0B1"},
	} {
		got, err := diversify(key16(t, v.key), unhex(t, v.input))
		if err != nil || got != key16(t, v.want) {
			t.Errorf("%s: %X, %v", v.input, got, err)
		}
		if got := cmac(key16(t, v.key), append([]byte{1}, unhex(t, v.input)...)); got != key16(t, v.plain) {
			t.Errorf("plain CMAC over %s: %X", v.input, got)
		}
	}
	k1, k2 := subkeys(block(key16(t, first)))
	if k1 != key16(t, "FBC9F75C9413C041DFEE452D3F0706D1") || k2 != key16(t, "F793EEB928278083BFDC8A5A7E0E0D25") {
		t.Errorf("subkeys %X, %X", k1, k2)
	}
	for _, n := range []int{0, 32} {
		if _, err := diversify([16]byte{}, make([]byte, n)); err == nil {
			t.Errorf("%d bytes were taken", n)
		}
	}
	// 31 bytes fill both blocks, so that nothing is padded and both agree.
	long := bytes.Repeat([]byte{0x5A}, 31)
	if got, err := diversify([16]byte{1}, long); err != nil || got != cmac([16]byte{1}, append([]byte{1}, long...)) {
		t.Errorf("31 bytes: %X, %v", got, err)
	}
}

// play sends commands to a card whose random numbers are these, in turn, and compares its
// answers.
func play(t *testing.T, d *DESFire, random []string, script ...[2]string) {
	t.Helper()
	d.random = func(b []byte) {
		t.Helper()
		copy(b, unhex(t, random[0]))
		random = random[1:]
	}
	for _, s := range script {
		if got, _ := d.Command(unhex(t, s[0])); !bytes.Equal(got, unhex(t, s[1])) {
			t.Fatalf("%s: %X, want %s", s[0], got, s[1])
		}
	}
}

func light(t *testing.T, key string) *DESFire {
	d := NewDESFire(DESFireOptions{
		Family: NTAG424, UID: [7]byte(unhex(t, "04DE5F1EACC040")),
		Keys: map[byte][16]byte{0: key16(t, key)},
	})
	d.selected = true
	return d
}

// TestVectorOfAuthentication is the transcript of AN12343, with key 0.
func TestVectorOfAuthentication(t *testing.T) {
	d := light(t, "01234567890123456789012345678901")
	play(t, d, []string{"D75F1D2E89DC6A80D857C732CEBA18DC", "569D4B24"},
		[2]string{"9071000002000000", "B9FC6CCAE153125C7C17E6906433C0F491AF"},
		[2]string{
			"90AF000020C8B3AFDEC10EE8298471A7B41736B4381BA1BE0F57F66387C5577721B70F847F00",
			"8138FD2450891FCDB4935D9F19C30B55FAD52DC54086933E0FBEC3DE9266BD809100",
		},
	)
	if s := d.session; s.enc != key16(t, "C1D7BD9F60034D8432F9AF3403D573D0") || s.mac != key16(t, "FD9E26C9766F07C1D07106C0F8F3671F") {
		t.Fatalf("session keys %X, %X", s.enc, s.mac)
	}
	play(t, d, nil, [2]string{"90510000085CA9EF7C912A391B00", "CDFFBF6D34231DA2789DA9D3AB15D560CE75E39EDBE94C2F9100"})
	if a, ok := d.Authentication(key16(t, "53C94F6ECD8324E9D34531A36F0D5E5B")); !ok || a != (Authentication{KeyNo: 0, First: true, Answered: true, UIDRead: 1}) {
		t.Errorf("%+v, %v", a, ok)
	}
}

// TestVectorsWithTheZeroKey are AuthenticateEV2First, and NonFirst within that session.
func TestVectorsWithTheZeroKey(t *testing.T) {
	d := light(t, "00000000000000000000000000000000")
	play(t, d, []string{"B9E2FC789B64BF237CCCAA20EC7E6E48", "9D00C4DF"},
		[2]string{"9071000002000000", "A04C124213C186F22399D33AC2A3021591AF"},
		[2]string{
			"90AF00002035C3E05A752E0144BAC0DE51C1F22C56B34408A23D8AEA266CAB947EA8E0118D00",
			"3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F081206639100",
		},
	)
	if s := d.session; s.enc != key16(t, "1309C877509E5A215007FF0ED19CA564") || s.mac != key16(t, "4C6626F5E72EA694202139295C7A7FC7") {
		t.Fatalf("session keys %X, %X", s.enc, s.mac)
	}
	d.session.counter = 7
	play(t, d, []string{hex.EncodeToString(decrypt([16]byte{}, [16]byte{}, unhex(t, "A6A2B3C572D06C097BB8DB70463E22DC")))},
		[2]string{"90770000010000", "A6A2B3C572D06C097BB8DB70463E22DC91AF"},
		[2]string{
			"90AF000020BE7D45753F2CAB85F34BC60CE58B940763FE969658A532DF6D95EA2773F6E99100",
			"B888349C24B315EAB5B589E279C8263E9100",
		},
	)
	s := d.session
	if s.enc != key16(t, "4CF3CB41A22583A61E89B158D252FC53") || s.mac != key16(t, "5529860B2FC5FB6154B7F28361D30BF9") {
		t.Errorf("session keys %X, %X", s.enc, s.mac)
	}
	if s.ti != [4]byte(unhex(t, "9D00C4DF")) || s.counter != 7 {
		t.Errorf("NonFirst changed TI or the counter: %X, %d", s.ti, s.counter)
	}
	if a, ok := d.Authentication(key16(t, "60BE759EDA560250AC57CDDC11743CF6")); !ok || a.First || !a.Answered {
		t.Errorf("%+v, %v", a, ok)
	}
}

func TestVectorsOfSecureMessaging(t *testing.T) {
	s := &session{mac: key16(t, "8248134A386E86EB7FAF54A52E536CB6"), ti: [4]byte(unhex(t, "7A21085E"))}
	if got := s.macOver(0xF5, []byte{0x02}); got != [8]byte(unhex(t, "6597A457C8CD442C")) {
		t.Errorf("MAC mode: %X", got)
	}

	d := light(t, "00000000000000000000000000000000")
	d.o.Files = map[byte]*File{3: {Data: make([]byte, 128), Mode: Full, Key: 2}}
	d.session = &session{
		keyNo: 2, enc: key16(t, "7A93D6571E4B180FCA6AC90C9A7488D4"), mac: key16(t, "FC4AF159B62E549B5812394CAB1918CC"),
		ti: [4]byte(unhex(t, "7614281A")),
	}
	if iv := d.session.iv(false); iv != key16(t, "4C651A64261A90307B6C293F611C7F7B") {
		t.Errorf("IV %X", iv)
	}
	play(t, d, nil, [2]string{"908D00001F030000000A00006B5E6804909962FC4E3FF5522CF0F8436C0C53315B9C73AA00", "C26D236E4A7C046D9100"})
	if bytes.Equal(d.o.Files[3].Data[:10], make([]byte, 10)) {
		t.Error("nothing was written")
	}
}
