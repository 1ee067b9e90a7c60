package isodep_test

import (
	"fmt"
	"strings"
	"testing"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

// Values of the transcripts: AuthenticateEV2First of DESFire in two parts, and a PIV
// card's answer to GENERAL AUTHENTICATE.
const (
	selectApp   = "905A00000301000000"
	authPart1   = "9071000002000000"
	authAnswer1 = "B9FC6CCAE153125C7C17E6906433C0F491AF"
	authPart2   = "90AF000020C8B3AFDEC10EE8298471A7B41736B4381BA1BE0F57F66387C5577721B70F847F00"
	authAnswer2 = "38FD2450891FCDB4935D9F19C30B55FAD52DC54086933E0FBEC3DE9266BD80919100"
)

// pivAnswer has 78 bytes.
const pivAnswer = "7C4A82483046022100EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716" +
	"022100F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA89000"

// counting is a command of 38 bytes whose payload is 00 to 1F.
const counting = "90AF000020000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F00"

func TestTranscriptOfRATS(t *testing.T) {
	t.Run("NTAG 424", func(t *testing.T) { exchanges(t, 64, "> E0 50\n< 06 77 77 71 02 80\n> C2\n< C2") })
	t.Run("DESFire EV1", func(t *testing.T) { exchanges(t, 64, "> E0 50\n< 06 75 77 81 02 80\n> C2\n< C2") })
	t.Run("a chip with room for 256 bytes", func(t *testing.T) { exchanges(t, 264, "> E0 80\n< 06 77 77 71 02 80\n> C2\n< C2") })
}

func TestTranscriptOfADESFireAuthentication(t *testing.T) {
	exchanges(t, 64, atsOf(desfire)+`
		> 02 905A00000301000000
		< 02 9100
		> 03 9071000002000000
		< 03 B9FC6CCAE153125C7C17E6906433C0F491AF
		> 02 `+authPart2+`
		< 02 `+authAnswer2+`
		> C2
		< C2`,
		selectApp, "9100", authPart1, authAnswer1, authPart2, authAnswer2)
}

func TestTranscriptOfWTX(t *testing.T) {
	exchanges(t, 64, atsOf(ntag424)+sent+`
		< F2 02
		> F2 02
		`+ok+`
		> 03 `+apdu+`
		< 03 9000
		> C2
		< C2`, apdu, "9100", apdu, "9000")
}

func TestTranscriptOfWTXAndLoss(t *testing.T) {
	for name, after := range map[string]string{"the answer": ok, "the extension": "< F2 01\n> F2 01\n" + ok} {
		t.Run(name, func(t *testing.T) {
			exchanges(t, 64, atsOf(ntag424)+sent+`
				< F2 01
				> F2 01
				< -
				> B2
				`+after, apdu, "9100")
		})
	}
}

func TestTranscriptOfAChainUp(t *testing.T) {
	// FSC 16: FSCI 0.
	exchanges(t, 64, atsOf("0670777102 80")+`
		> 12 90AF000020 0001020304050607
		< A2
		> 13 08090A0B0C0D0E0F1011121314
		< A3
		> 02 15161718191A1B1C1D1E1F00
		< 02 9100
		> C2
		< C2`, counting, "9100")
}

func TestTranscriptOfAChainDown(t *testing.T) {
	// In blocks of 61 and 17 bytes; first as the second command of a link.
	response := unhex(t, pivAnswer)
	exchanges(t, 64, atsOf(ntag424)+sent+ok+fmt.Sprintf(`
		> 03 %s
		< 13 %X
		> A2
		< 02 %X
		> 03 %s
		< 03 9000`, apdu, response[:61], response[61:], apdu), apdu, "9100", apdu, hexOf(response), apdu, "9000")
	// As it is written down: the first command of a link.
	exchanges(t, 64, atsOf(ntag424)+fmt.Sprintf(`
		> 02 %s
		< 12 %X
		> A3
		< 03 %X`, apdu, response[:61], response[61:]), apdu, hexOf(response))
}

func TestTranscriptOfALostBlock(t *testing.T) {
	exchanges(t, 64, atsOf(ntag424)+sent+`
		< -
		> B2
		< A3
		`+sent+ok, apdu, "9100")
}

func TestTranscriptOfALostAnswer(t *testing.T) {
	exchanges(t, 64, atsOf(ntag424)+sent+`
		< !
		> B2
		`+ok, apdu, "9100")
}

func TestTranscriptOfLeaving(t *testing.T) {
	exchanges(t, 64, atsOf(ntag424)+"> C2\n< C2")
	t.Run("the first answers are lost", func(t *testing.T) {
		exchanges(t, 64, atsOf(ntag424)+"> C2\n< -\n> C2\n< !\n> C2\n< C2")
	})
	t.Run("another answer", func(t *testing.T) {
		exchanges(t, 64, atsOf(ntag424)+"> C2\n< F2 01\n> C2\n< B2\n> C2\n< C2")
	})
	t.Run("no answer", func(t *testing.T) {
		exchanges(t, 64, atsOf(ntag424)+"> C2\n< -\n> C2\n< -\n> C2\n< -")
	})
}

func TestTranscriptOfPresence(t *testing.T) {
	s := run(t, atsOf(ntag424)+`
		> B2
		< A3
		`+sent+ok+`
		> B3
		< A2
		> B3
		< A2
		> 03 `+apdu+`
		< 03 9000`, func(t *testing.T, l *isodep.Link) error {
		for _, step := range []string{"present", apdu, "present", "present", apdu} {
			var err error
			if step == "present" {
				err = l.Present(t.Context())
			} else {
				_, err = l.Exchange(t.Context(), unhex(t, step))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, nil)
	if len(s.sent) != 7 {
		t.Errorf("sent %s", s.sent)
	}
}

func TestPresenceIsAskedForAgain(t *testing.T) {
	present := func(t *testing.T, l *isodep.Link) error { return l.Present(t.Context()) }
	run(t, atsOf(ntag424)+"> B2\n< -\n> B2\n< !\n> B2\n< A3", present, nil)
	run(t, atsOf(ntag424)+"> B2\n< F2 01\n> F2 01\n< A3", present, nil)
	run(t, atsOf(ntag424)+strings.Repeat("> B2\n< -\n", 4), present, card.ErrGone)
	for _, wrong := range []string{"A2", "02 9000", "03 9000", "B3", "C2"} {
		run(t, atsOf(ntag424)+"> B2\n< "+wrong, present, card.ErrProtocol)
	}
}
