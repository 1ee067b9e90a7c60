package desfire

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"testing"

	"presence/drivers/cardtest/linktest"
)

// TestCMAC holds AES-CMAC to the examples of RFC 4493, section 4.
func TestCMAC(t *testing.T) {
	key := Key(linktest.Unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C"))
	message := linktest.Unhex(t, "6BC1BEE22E409F96E93D7E117393172A AE2D8A571E03AC9C9EB76FAC45AF8E51"+
		"30C81C46A35CE411E5FBC1191A0A52EF F69F2445DF4F9B17AD2B417BE66C3710")
	k1, k2 := subkeys(key.block())
	if want := linktest.Unhex(t, "FBEED618357133667C85E08F7236A8DE"); !bytes.Equal(k1[:], want) {
		t.Errorf("K1 is %X, want %X", k1, want)
	}
	if want := linktest.Unhex(t, "F7DDAC306AE266CCF90BC11EE46D513B"); !bytes.Equal(k2[:], want) {
		t.Errorf("K2 is %X, want %X", k2, want)
	}
	for n, want := range map[int]string{
		0:  "BB1D6929E95937287FA37D129B756746",
		16: "070A16B46B4D4144F79BDD9DD04A287C",
		40: "DFA66747DE9AE63030CA32611497C827",
		64: "51F0BEBF7E3B9D92FC49741779363CFE",
	} {
		if got := key.cmac(message[:n]); !bytes.Equal(got[:], linktest.Unhex(t, want)) {
			t.Errorf("CMAC of %d bytes is %X, want %s", n, got, want)
		}
	}
}

// TestCMACOfEveryLength compares with the plain definition of SP 800-38B: CBC over the
// message, padded and masked, where the last block is the code.
func TestCMACOfEveryLength(t *testing.T) {
	key := Key(linktest.Unhex(t, "00112233445566778899AABBCCDDEEFF"))
	k1, k2 := subkeys(key.block())
	for n := range 100 {
		message := bytes.Repeat([]byte{0xA7}, n)
		padded, mask := bytes.Clone(message), k1
		if n == 0 || n%16 != 0 {
			padded, mask = append(padded, 0x80), k2
			for len(padded)%16 != 0 {
				padded = append(padded, 0)
			}
		}
		xor(padded[len(padded)-16:], mask[:])
		want := key.encrypt(padded)[len(padded)-16:]
		if got := key.cmac(message); !bytes.Equal(got[:], want) {
			t.Errorf("CMAC of %d bytes is %X, want %X", n, got, want)
		}
	}
}

// TestDiversify holds the diversification to the examples of AN10922 and others that were
// computed apart. Below 16 bytes of input it is not the CMAC of 01 || input.
func TestDiversify(t *testing.T) {
	for _, tc := range []struct{ key, input, want, plain string }{
		{
			"00112233445566778899AABBCCDDEEFF", "04782E21801D80 3042F5 4E585020416275",
			"A8DD63A3B89D54B37CA802473FDA9175", "A8DD63A3B89D54B37CA802473FDA9175",
		},
		{
			"00112233445566778899AABBCCDDEEFF", "04782E21801D80",
			"4FD3364753B8142980E8203C75AD83BE", "B3179E2D918AC5190815983B054B63AD",
		},
		{
			"00112233445566778899AABBCCDDEEFF", "04782E21801D80 3042F5",
			"0DAA19EEEA04340DE38A20330013090D", "5351D428BEE43D9CF694523596A09EB6",
		},
		{
			"83A66CF43605111802A2616FA0C5E2FF", "044D0702195E80 DADADA 715517",
			"555F624020C5789340350914E92A64F9", "DAE9B8D3136B2DAE35D58678F378B0B1",
		},
	} {
		master, input := Key(linktest.Unhex(t, tc.key)), linktest.Unhex(t, tc.input)
		got, err := Diversify(master, input)
		if err != nil || !bytes.Equal(got[:], linktest.Unhex(t, tc.want)) {
			t.Errorf("Diversify(%s) = %X, %v, want %s", tc.input, [16]byte(got), err, tc.want)
		}
		plain := master.cmac(append([]byte{0x01}, input...))
		if !bytes.Equal(plain[:], linktest.Unhex(t, tc.plain)) {
			t.Errorf("CMAC(01 || %s) = %X, want %s", tc.input, plain, tc.plain)
		}
	}
	k1, k2 := subkeys(Key(linktest.Unhex(t, "00112233445566778899AABBCCDDEEFF")).block())
	if !bytes.Equal(k1[:], linktest.Unhex(t, "FBC9F75C9413C041DFEE452D3F0706D1")) ||
		!bytes.Equal(k2[:], linktest.Unhex(t, "F793EEB928278083BFDC8A5A7E0E0D25")) {
		t.Errorf("subkeys are %X and %X", k1, k2)
	}
}

// TestDiversifyFrom16Bytes checks that from 16 bytes on it is the CMAC of 01 || input, up to
// two whole blocks, and that more or none is refused.
func TestDiversifyFrom16Bytes(t *testing.T) {
	master := Key(linktest.Unhex(t, "00112233445566778899AABBCCDDEEFF"))
	for n := 16; n <= 31; n++ {
		input := bytes.Repeat([]byte{byte(n)}, n)
		want := Key(master.cmac(append([]byte{0x01}, input...)))
		if got, err := Diversify(master, input); err != nil || got != want {
			t.Errorf("%d bytes: %X, %v, want %X", n, [16]byte(got), err, [16]byte(want))
		}
	}
	for _, n := range []int{0, 32} {
		if _, err := Diversify(master, make([]byte, n)); err == nil {
			t.Errorf("%d bytes of input were taken", n)
		}
	}
}

// transcript is an authentication and GetCardUID of application note AN12343.
const transcript = `
	> 90 71 00 00 02 00 00 00
	< B9FC6CCAE153125C7C17E6906433C0F4 91AF
	> 90 AF 00 00 20 C8B3AFDEC10EE8298471A7B41736B4381BA1BE0F57F66387C5577721B70F847F 00
	< 8138FD2450891FCDB4935D9F19C30B55FAD52DC54086933E0FBEC3DE9266BD80 9100
	> 90 51 00 00 08 5CA9EF7C912A391B 00
	< CDFFBF6D34231DA2789DA9D3AB15D560 CE75E39EDBE94C2F 9100
`

const (
	transcriptKey  = "01234567890123456789012345678901"
	transcriptRndA = "53C94F6ECD8324E9D34531A36F0D5E5B"
)

// TestTranscript plays the whole transcript, with the values between.
func TestTranscript(t *testing.T) {
	card := linktest.Play(t, transcript)
	key := Key(linktest.Unhex(t, transcriptKey))
	s, err := Authenticate(t.Context(), card, 0, key, bytes.NewReader(linktest.Unhex(t, transcriptRndA)))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "TI", s.ti[:], "569D4B24")
	check(t, "SesENC", s.encrypt[:], "C1D7BD9F60034D8432F9AF3403D573D0")
	check(t, "SesMAC", s.mac[:], "FD9E26C9766F07C1D07106C0F8F3671F")
	command := s.mac.cmac(linktest.Unhex(t, "51 0000 569D4B24"))
	check(t, "CMAC of the command", command[:], "ED5CB7A932EF8D7C2E91B42A1139F11B")

	uid, err := s.UID(t.Context())
	if err != nil || uid.String() != "04DE5F1EACC040" {
		t.Fatalf("UID %v, %v", uid, err)
	}
	card.Over()
	if s.counter != 1 {
		t.Errorf("counter is %d, want 1", s.counter)
	}
	iv := s.vector(labelAnswer)
	check(t, "IV of the answer", iv[:], "5A42ECB2111A9267FA5F2682523229AC")
	answer := s.mac.cmac(linktest.Unhex(t, "00 0100 569D4B24 CDFFBF6D34231DA2789DA9D3AB15D560"))
	check(t, "CMAC of the answer", answer[:], "DACE5E751BE3DC9ECDDBA6E9B24C1E2F")
}

func check(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, linktest.Unhex(t, want)) {
		t.Errorf("%s is %X, want %s", what, got, want)
	}
}

// TestAuthenticateZeroKey plays an authentication with the key that cards leave the factory
// with.
func TestAuthenticateZeroKey(t *testing.T) {
	card := linktest.Play(t, `
		> 90 71 00 00 02 00 00 00
		< A04C124213C186F22399D33AC2A30215 91AF
		> 90 AF 00 00 20 35C3E05A752E0144BAC0DE51C1F22C56B34408A23D8AEA266CAB947EA8E0118D 00
		< 3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F08120663 9100
	`)
	s, err := Authenticate(t.Context(), card, 0, Key{}, bytes.NewReader(linktest.Unhex(t, "13C5DB8A5930439FC3DEF9A4C675360F")))
	if err != nil {
		t.Fatal(err)
	}
	card.Over()
	check(t, "RndB", Key{}.decrypt(linktest.Unhex(t, "A04C124213C186F22399D33AC2A30215")), "B9E2FC789B64BF237CCCAA20EC7E6E48")
	check(t, "TI", s.ti[:], "9D00C4DF")
	check(t, "SesENC", s.encrypt[:], "1309C877509E5A215007FF0ED19CA564")
	check(t, "SesMAC", s.mac[:], "4C6626F5E72EA694202139295C7A7FC7")
}

// TestSessionKeysNonFirst holds the derivation of session keys to a second vector: RndA and
// RndB of an AuthenticateEV2NonFirst, which this package does not send.
func TestSessionKeysNonFirst(t *testing.T) {
	rndB := [16]byte(Key{}.decrypt(linktest.Unhex(t, "A6A2B3C572D06C097BB8DB70463E22DC")))
	rndA := [16]byte(linktest.Unhex(t, "60BE759EDA560250AC57CDDC11743CF6"))
	rotatedA, rotatedB := rotate(rndA), rotate(rndB)
	check(t, "second half", Key{}.encrypt(append(rndA[:], rotatedB[:]...)),
		"BE7D45753F2CAB85F34BC60CE58B940763FE969658A532DF6D95EA2773F6E991")
	check(t, "RndA'", Key{}.decrypt(linktest.Unhex(t, "B888349C24B315EAB5B589E279C8263E")), hex.EncodeToString(rotatedA[:]))
	encrypt, mac := sessionKeys(Key{}, rndA, rndB)
	check(t, "SesENC", encrypt[:], "4CF3CB41A22583A61E89B158D252FC53")
	check(t, "SesMAC", mac[:], "5529860B2FC5FB6154B7F28361D30BF9")
}

// TestMACMode holds the code of a command to the vector of a GetFileSettings.
func TestMACMode(t *testing.T) {
	s := &Session{ti: [4]byte(linktest.Unhex(t, "7A21085E")), mac: Key(linktest.Unhex(t, "8248134A386E86EB7FAF54A52E536CB6"))}
	code := s.code(0xF5, []byte{0x02})
	check(t, "MAC", code[:], "6597A457C8CD442C")
}

// TestFullMode holds encryption and codes to the vector of a WriteData, which this package
// does not send: `8D 03 000000 0A0000`, encrypted data, MAC.
func TestFullMode(t *testing.T) {
	s := &Session{
		ti:      [4]byte(linktest.Unhex(t, "7614281A")),
		encrypt: Key(linktest.Unhex(t, "7A93D6571E4B180FCA6AC90C9A7488D4")),
		mac:     Key(linktest.Unhex(t, "FC4AF159B62E549B5812394CAB1918CC")),
	}
	iv := s.vector(0xA55A)
	check(t, "IV of the command", iv[:], "4C651A64261A90307B6C293F611C7F7B")
	secret := linktest.Unhex(t, "6B5E6804909962FC4E3FF5522CF0F843")
	plain := make([]byte, 16)
	cipher.NewCBCDecrypter(s.encrypt.block(), iv[:]).CryptBlocks(plain, secret)
	if !bytes.Equal(plain[10:], linktest.Unhex(t, "80 0000000000")) {
		t.Errorf("ten bytes and padding are % X", plain)
	}
	code := s.code(0x8D, append(linktest.Unhex(t, "03 000000 0A0000"), secret...))
	check(t, "MAC of the command", code[:], "6C0C53315B9C73AA")
	s.counter++
	code = s.code(0x00, nil)
	check(t, "MAC of the answer", code[:], "C26D236E4A7C046D")
}
