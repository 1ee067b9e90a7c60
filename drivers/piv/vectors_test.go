package piv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"strings"
	"testing"

	"presence/drivers/card"
	"presence/drivers/cardtest/linktest"
)

// What a card signed, by the vector of authentication with key 9E.
const (
	vectorPublic = "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6" +
		"7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
	vectorHash   = "AF2BDBE1AA9B6EC1E2ADE1D694F41FC71A831D0268E9891562113D8A62ADD1BF"
	vectorR      = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
	vectorS      = "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
	vectorAnswer = "7C4A8248 3046022100" + vectorR + "022100" + vectorS
	vectorOrder  = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551"
)

// template is a card's answer to the selection that lists no algorithms.
const template = "6116 4F06 000010000100 7907 4F05 A000000308 5003 504956 9000"

const selectPIV = "00 A4 04 00 0B A000000308000010000100 00"

// vectorKey is the public key of the vector.
func vectorKey(t testing.TB) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), linktest.Unhex(t, vectorPublic))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// selected is the card of a transcript, once its application is selected.
func selected(t testing.TB, transcript string) (*Card, *linktest.Script) {
	t.Helper()
	s := linktest.Play(t, "> "+selectPIV+"\n< "+template+"\n"+transcript)
	c, err := Select(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// TestTranscript plays a whole authentication: CHUID, certificate in two parts, challenge.
func TestTranscript(t *testing.T) {
	object := "53 82 0142" + "70 82 0139" + strings.Repeat("AB", 0x139) + "71 01 00 FE 00" // 326 bytes
	c, s := selected(t, `
		> 00 CB 3F FF 05 5C 03 5FC102 00
		< 53 1C 34 10 8CA01F9E5A9E8D1B9C0D51E3A5B2C7D8 35 08 3230333031323331 9000
		> 00 CB 3F FF 05 5C 03 5FC101 00
		< `+strings.ReplaceAll(object, " ", "")[:512]+` 6146
		> 00 C0 00 00 46
		< `+strings.ReplaceAll(object, " ", "")[512:]+` 9000
		> 00 87 11 9E 26 7C 24 82 00 81 20 `+vectorHash+` 00
		< `+vectorAnswer+` 9000
	`)
	guid, err := c.GUID(t.Context())
	if err != nil || guid.String() != "8ca01f9e-5a9e-8d1b-9c0d-51e3a5b2c7d8" {
		t.Fatalf("GUID %v, %v", guid, err)
	}
	der, err := c.Certificate(t.Context())
	if err != nil || !bytes.Equal(der, bytes.Repeat([]byte{0xAB}, 0x139)) {
		t.Fatalf("certificate of %d bytes, %v", len(der), err)
	}
	signature, err := c.Sign(t.Context(), P256, linktest.Unhex(t, vectorHash))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(vectorKey(t), linktest.Unhex(t, vectorHash), signature); err != nil {
		t.Error(err)
	}
	s.Over()
}

// TestVerify takes the vector's signature apart in every way that is no signature over its
// challenge in DER.
func TestVerify(t *testing.T) {
	key, hash := vectorKey(t), linktest.Unhex(t, vectorHash)
	zeros := strings.Repeat("00", 31)
	for name, tc := range map[string]struct {
		signature string
		hash      []byte
		want      string // "" where it is right
	}{
		"right":                  {signature: "3046022100" + vectorR + "022100" + vectorS},
		"other challenge":        {signature: "3046022100" + vectorR + "022100" + vectorS, hash: make([]byte, 32), want: "not by this key"},
		"r and s swapped":        {signature: "3046022100" + vectorS + "022100" + vectorR, want: "not by this key"},
		"r||s":                   {signature: vectorR + vectorS, want: "not in DER"},
		"r||s after 00":          {signature: "0440" + vectorR + vectorS, want: "not in DER"},
		"leading zero of r":      {signature: "304702220000" + vectorR + "022100" + vectorS, want: "not in DER"},
		"leading zero of s":      {signature: "3047022100" + vectorR + "02220000" + vectorS, want: "not in DER"},
		"negative r":             {signature: "30450220" + vectorR + "022100" + vectorS, want: "out of range"},
		"long form of a length":  {signature: "308146022100" + vectorR + "022100" + vectorS, want: "not in DER"},
		"indefinite length":      {signature: "3080022100" + vectorR + "022100" + vectorS + "0000", want: "not in DER"},
		"trailing byte":          {signature: "3046022100" + vectorR + "022100" + vectorS + "00", want: "not in DER"},
		"trailing byte within":   {signature: "3047022100" + vectorR + "022100" + vectorS + "00", want: "not in DER"},
		"third number":           {signature: "3049022100" + vectorR + "022100" + vectorS + "020101", want: "not in DER"},
		"s missing":              {signature: "3023022100" + vectorR, want: "not in DER"},
		"s = 0":                  {signature: "3026022100" + vectorR + "020100", want: "out of range"},
		"r = 0":                  {signature: "3026020100022100" + vectorS, want: "out of range"},
		"s without a byte":       {signature: "3025022100" + vectorR + "0200", want: "not in DER"},
		"s = n":                  {signature: "3046022100" + vectorR + "022100" + vectorOrder, want: "out of range"},
		"r far above n":          {signature: "3067024201" + zeros + zeros + "000000" + "022100" + vectorS, want: "out of range"},
		"cut":                    {signature: "3046022100" + vectorR + "022100" + vectorS[:62], want: "not in DER"},
		"empty":                  {signature: "", want: "not in DER"},
		"a hash of other length": {signature: "3046022100" + vectorR + "022100" + vectorS, hash: make([]byte, 48), want: "algorithm"},
	} {
		t.Run(name, func(t *testing.T) {
			over := hash
			if tc.hash != nil {
				over = tc.hash
			}
			err := verify(key, over, linktest.Unhex(t, tc.signature))
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "algorithm" && !errors.Is(err, ErrAlgorithm):
				t.Errorf("error is %v", err)
			case tc.want != "" && tc.want != "algorithm" && (!errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error is %v, want %q", err, tc.want)
			}
		})
	}
}

// TestGUIDOf holds the GUID of a fixed UID to values that were computed apart:
// printf 'gatewayd badge guid v1\0\x04\xde\x5f\x1e\xac\xc0\x40' | sha256sum.
func TestGUIDOf(t *testing.T) {
	for hex, want := range map[string]string{
		"04DE5F1EACC040": "d6efaed7-08b2-89a7-b58b-1f65caad2507",
		"DEADBEEF":       "3b79a4e3-cb98-89ac-9c94-7ff4302a078f",
	} {
		uid, err := card.ParseUID(hex)
		if err != nil {
			t.Fatal(err)
		}
		if got := GUIDOf(uid).String(); got != want {
			t.Errorf("GUID of %s is %s, want %s", hex, got, want)
		}
	}
}
