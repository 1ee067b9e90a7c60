package mfrc522

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

// processor is a processor card before a script's chip: a UID of seven bytes, and answers to
// frames of ISO/IEC 14443-4, which the chip gets without CRC_A.
type processor struct {
	*script
	levels [][]byte
	block  func(frame []byte) *reply

	asleep, layer4 bool
	nonsense       bool // is heard, of a chip that has lost a setting
}

const processorUID = "04112233445566"

// newProcessor makes a script with a card that answers RATS, DESELECT and what block does.
func newProcessor(t *testing.T, block func(frame []byte) *reply) *processor {
	p := &processor{levels: [][]byte{unhex(t, "88041122"), unhex(t, "33445566")}, block: block}
	sound := single(p.levels, 0x20)
	p.script = newScript(t, func(frame []byte, lastBits byte) *reply {
		switch {
		case lastBits == 0 && p.regs[regTxMode]&crcOn != 0:
			return p.answer(frame)
		case lastBits == 7 && p.layer4, frame[0] != 0x26 && frame[0] != 0x52 && p.layer4:
			return nil // knows neither WUPA nor HLTA
		case frame[0] == 0x26 && p.asleep:
			return nil
		case frame[0] == cmdHLTA:
			p.asleep = true
			return nil
		}
		return sound(frame, lastBits)
	})
	return p
}

func (p *processor) answer(frame []byte) *reply {
	switch frame[0] {
	case cmdRATS:
		p.layer4 = true
		return &reply{data: unhex(p.t, "067777710280")}
	case cmdDeselect:
		p.layer4, p.asleep = false, true
		return &reply{data: frame}
	}
	return p.block(frame)
}

func (p *processor) card(t *testing.T) card.Card {
	uid, err := card.ParseUID(processorUID)
	if err != nil {
		t.Fatal(err)
	}
	return card.Card{UID: uid, SAK: 0x20}
}

// air is what was sent, in hex.
func (p *processor) air() (sent []string) {
	for _, frame := range p.frames {
		sent = append(sent, strings.ToUpper(hex.EncodeToString(frame)))
	}
	return sent
}

// sees polls once, and wants the card, and the chip never to have been reset.
func (p *processor) sees(t *testing.T, r *Reader) {
	t.Helper()
	seen, err := r.Poll(t.Context())
	if err != nil || len(seen) != 1 || seen[0].UID.String() != processorUID {
		t.Errorf("after the link: saw %v, %v", seen, err)
	}
	if counts := r.Counts(); counts.Mends != 0 || p.resets != 1 {
		t.Errorf("after the link: %+v, %d resets", counts, p.resets)
	}
}

// command is a use that carries out one command over ISO/IEC 14443-4.
func command(t *testing.T, apdu, want string) func(card.Frames) error {
	return func(f card.Frames) error {
		return isodep.Run(t.Context(), f, isodep.Options{}, func(l *isodep.Link) error {
			response, err := l.Exchange(t.Context(), unhex(t, apdu))
			if err == nil && hex.EncodeToString(response) != strings.ToLower(want) {
				t.Errorf("response %X, want %s", response, want)
			}
			return err
		})
	}
}

// Other packages have no layer 4 at all. These are all frames from WUPA to DESELECT, and
// the registers with which they are sent.
func TestPublicFaultNoLayer4(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcessor(t, nil)
		p.wrote = func(reg register, v byte) {
			if reg == regCommand && v == commandTransceive && p.regs[regBitFraming] != 0 && p.regs[regTxMode] != 0 {
				t.Errorf("BitFraming is %02X when Transceive begins: the chip would send at once", p.regs[regBitFraming])
			}
		}
		p.block = func(frame []byte) *reply {
			for reg, want := range map[register]byte{
				regTxMode: 0x80, regRxMode: 0x80, regBitFraming: startSend, regColl: 0,
				regTxControl: txControlReset | txControlField, regStatus2: 0,
			} {
				if got := p.regs[reg]; got != want {
					t.Errorf("register %02X is %02X, want %02X", reg, got, want)
				}
			}
			return &reply{data: unhex(t, "029100")}
		}
		r := open(t, p.script)
		if err := r.Select(t.Context(), p.card(t), command(t, "905A00000301000000", "9100")); err != nil {
			t.Error(err)
		}
		want := []string{
			"52", "937088041122BF" + crcOf(t, "937088041122BF"), "95703344556644" + crcOf(t, "95703344556644"),
			"E050", "02905A00000301000000", "C2",
		}
		if got := p.air(); !slices.Equal(got, want) {
			t.Errorf("sent %s, want %s", got, want)
		}
		p.sees(t, r)
		if len(p.frames) == len(want) || p.regs[regTxMode] != 0 || p.regs[regRxMode] != 0 {
			t.Errorf("TxMode %02X, RxMode %02X", p.regs[regTxMode], p.regs[regRxMode])
		}
	})
}

func crcOf(t *testing.T, frame string) string {
	lo, hi := crcA(unhex(t, frame))
	return fmt.Sprintf("%02X%02X", lo, hi)
}

// All checksums of the blocks and answers in the facts about ISO 14443-4.
func TestCRCAOfLayer4(t *testing.T) {
	for frame, want := range map[string]string{
		"E050": "BCA5", "E080": "3173", "067577810280": "02F0", "067777710280": "BE6A", "D01100": "52A6", "D0": "7387",
		"B2": "67C7", "B3": "EED6", "A2": "E6D7", "A3": "6FC6", "C2": "E0B4", "F201": "9140", "F202": "0A72", "F23B": "48DE",
		"BA00": "BED9", "CA00": "7A29", "0A00": "D0E3", "02905A00000301000000": "DA34", "029100": "2910",
		"039071000002000000": "FE6F", "03B9FC6CCAE153125C7C17E6906433C0F491AF": "F4A2", "1290AF0000200001020304050607": "D511",
		"1308090A0B0C0D0E0F1011121314": "69B3", "0215161718191A1B1C1D1E1F00": "AB63",
		"0290AF000020C8B3AFDEC10EE8298471A7B41736B4381BA1BE0F57F66387C5577721B70F847F00": "69A8",
	} {
		if got := crcOf(t, frame); got != want {
			t.Errorf("CRC_A of %s is %s, want %s", frame, got, want)
		}
	}
}

// MFRC522Extended reads the mode of the receiver's CRC from the transmitter's register. Each
// keeps its own reserved bits, in a link and behind it.
func TestPublicFaultCRCModeOfTheWrongRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcessor(t, nil)
		p.atReset = map[register]byte{regTxMode: 0x05, regRxMode: 0x02}
		p.block = func([]byte) *reply {
			if tx, rx := p.regs[regTxMode], p.regs[regRxMode]; tx != 0x85 || rx != 0x82 {
				t.Errorf("TxMode %02X, RxMode %02X", tx, rx)
			}
			return &reply{data: []byte{0x02, 0x91, 0x00}}
		}
		r := open(t, p.script)
		if err := r.Select(t.Context(), p.card(t), command(t, "905A00000301000000", "9100")); err != nil {
			t.Error(err)
		}
		if tx, rx := p.regs[regTxMode], p.regs[regRxMode]; tx != 0x05 || rx != 0x02 {
			t.Errorf("afterwards TxMode %02X, RxMode %02X", tx, rx)
		}
		p.sees(t, r)
	})
}

// The timer is set anew for each block, and runs at least as long as the card may take:
// other drivers leave it at 25 to 36 ms. Beyond 1.638 s the prescaler is a longer one.
func TestPublicFaultTimerStays(t *testing.T) {
	for _, wait := range []time.Duration{
		1, 25 * time.Microsecond, 302 * time.Microsecond, 8453 * time.Microsecond, 42290 * time.Microsecond, 500 * time.Millisecond,
		1638400 * time.Microsecond, 1638401 * time.Microsecond, 1770 * time.Millisecond, 4953 * time.Millisecond, 19 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newProcessor(t, func([]byte) *reply { return nil })
			r := open(t, p.script)
			var took time.Duration
			err := r.Select(t.Context(), p.card(t), func(f card.Frames) error {
				start := time.Now()
				_, err := f.Transceive(t.Context(), []byte{0x02, 0x00}, wait)
				took = time.Since(start)
				prescaler := int(p.regs[regTMode]&0x0F)<<8 | int(p.regs[regTPrescaler])
				reload := int(p.regs[regTReloadH])<<8 | int(p.regs[regTReloadL])
				// Data sheet, 8.5: (TPrescaler*2+1)*(TReloadVal+1)/13.56 MHz.
				runs := float64(prescaler*2+1) * float64(reload+1) / 13.56e6
				if tick := float64(prescaler*2+1) / 13.56e6; runs < wait.Seconds()-1e-9 || runs > wait.Seconds()+tick {
					t.Errorf("a wait of %v: the timer runs %.6f s", wait, runs)
				}
				if p.regs[regTMode]&0xF0 != tModeAuto {
					t.Errorf("TMode %02X", p.regs[regTMode])
				}
				return err
			})
			if !errors.Is(err, card.ErrNoAnswer) {
				t.Error(err)
			}
			// The chip of the script knows the time-out at once; the driver does not take it
			// for one before its time.
			if due := airtime(4) + wait; took < due-slack || took > due+maxAsk+time.Millisecond {
				t.Errorf("a wait of %v took %v", wait, took)
			}
			p.sees(t, r)
		})
	}
}

// What the chip finds wrong with an answer is asked for again, and no reason to give up.
func TestSpoiltBlocks(t *testing.T) {
	for name, spoilt := range map[string]*reply{
		"CRC_A":                  {data: []byte{0x02, 0x91, 0x00}, errors: errorCRC},
		"parity":                 {data: []byte{0x02, 0x91, 0x00}, errors: errorParity},
		"protocol":               {data: []byte{0x02, 0x91, 0x00}, errors: errorProtocol},
		"collision":              {data: []byte{0x02, 0x91, 0x00}, errors: errorColl, coll: 7},
		"longer than the FIFO":   {data: make([]byte, 64), errors: errorOverflow},
		"four bits":              {data: []byte{0x00}, lastBits: 4},
		"bits that are left":     {data: []byte{0x02, 0x91, 0x00}, lastBits: 1},
		"nothing":                {data: []byte{}},
		"a chip that is too hot": {data: []byte{0x02, 0x91, 0x00}, errors: errorTemp}, // misread: it is not so when asked again
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProcessor(t, nil)
				p.block = func(frame []byte) *reply {
					if name == "a chip that is too hot" && frame[0] == 0x02 {
						p.misread = regError
					}
					if frame[0] == 0x02 {
						return spoilt
					}
					return &reply{data: []byte{0x02, 0x91, 0x00}}
				}
				r := open(t, p.script)
				if err := r.Select(t.Context(), p.card(t), command(t, "905A00000301000000", "9100")); err != nil {
					t.Error(err)
				}
				if got := p.air(); !slices.Contains(got, "B2") {
					t.Errorf("sent %s", got)
				}
				if n := r.Counts().BadFrames; n != 1 {
					t.Errorf("%d bad frames counted", n)
				}
				p.sees(t, r)
			})
		})
	}
}

// A frame of 64 bytes with its CRC_A is the longest, both ways.
func TestFramesFillTheFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := bytes.Repeat([]byte{0xA5}, 62)
		p := newProcessor(t, func(frame []byte) *reply { return &reply{data: frame} })
		r := open(t, p.script)
		var kept card.Frames
		err := r.Select(t.Context(), p.card(t), func(f card.Frames) error {
			kept = f
			if n := f.MaxFrame(); n != 64 {
				t.Errorf("at most %d", n)
			}
			if answer, err := f.Transceive(t.Context(), long, time.Millisecond); err != nil || !bytes.Equal(answer, long) {
				t.Errorf("%X, %v", answer, err)
			}
			sent := len(p.frames)
			for _, n := range []int{0, 63, 64, 100} {
				if answer, err := f.Transceive(t.Context(), make([]byte, n), time.Millisecond); err == nil || len(p.frames) != sent {
					t.Errorf("%d bytes: %X", n, answer)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if answer, err := kept.Transceive(t.Context(), []byte{0x02}, time.Millisecond); err == nil {
			t.Errorf("after Select: %X", answer)
		}
		p.sees(t, r)
	})
}

// A chip that leaves the CRC_A in the FIFO is told by the answer to RATS.
func TestChipThatKeepsTheCRC(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := newProcessor(t, func([]byte) *reply { return &reply{data: []byte{0x02, 0x90, 0x00}} })
			sound := p.reply
			p.reply = func(frame []byte, lastBits byte) *reply {
				a := sound(frame, lastBits)
				if keeps && a != nil && p.regs[regRxMode]&crcOn != 0 {
					return &reply{data: withCRC(a.data...)}
				}
				return a
			}
			r := open(t, p.script)
			if err := r.Select(t.Context(), p.card(t), command(t, "905A00000301000000", "9000")); err != nil {
				t.Error(err)
			}
			if last := p.air()[len(p.frames)-1]; last != "C2" {
				t.Errorf("%s was sent at last", last)
			}
			p.sees(t, r)
		})
	}
}

// A card that is gone before it was selected is ErrGone; nothing is switched off for that.
func TestSelectOfACardThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProcessor(t, nil)
		r := open(t, p.script)
		c := p.card(t)
		p.reply = func([]byte, byte) *reply { return nil }
		start := time.Now()
		err := r.Select(t.Context(), c, func(card.Frames) error { t.Error("used"); return nil })
		if !errors.Is(err, card.ErrGone) {
			t.Error(err)
		}
		if took := time.Since(start); took > 5*time.Millisecond || len(p.frames) > calls {
			t.Errorf("it took %v and %d frames", took, len(p.frames))
		}
		// Nor is it another card that the link is with.
		for _, levels := range []string{"DEADBEEF", "8804112388334455"} {
			var parts [][]byte
			for b := unhex(t, levels); len(b) > 0; b = b[4:] {
				parts = append(parts, b[:4])
			}
			p.reply = single(parts, 0x20)
			if err := r.Select(t.Context(), c, func(card.Frames) error { t.Error("used"); return nil }); !errors.Is(err, card.ErrGone) {
				t.Error(err)
			}
		}
		// Not even one whose UID begins with the whole of the other one.
		p.reply = single(p.levels, 0x20)
		short, err := card.NewUID(p.levels[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Select(t.Context(), card.Card{UID: short, SAK: 0x20}, func(card.Frames) error { t.Error("used"); return nil }); !errors.Is(err, card.ErrGone) {
			t.Error(err)
		}
		if err := r.Select(t.Context(), card.Card{UID: c.UID, TypeB: true}, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
}

// The link's errors are handed on, and however the link has ended the next look finds the
// card: where DESELECT was not confirmed it is called by its UID, and where it does not
// answer that either the field is switched off and on.
func TestTheNextLookFindsTheCard(t *testing.T) {
	own := errors.New("of use")
	for name, c := range map[string]struct {
		use       func(t *testing.T, p *processor, f card.Frames)
		fieldOff  bool
		lastFrame string
	}{
		"not used":          {func(_ *testing.T, p *processor, _ card.Frames) { p.frames = nil }, false, "500057CD"},
		"RATS and DESELECT": {func(t *testing.T, _ *processor, f card.Frames) { send(t, f, "E050"); send(t, f, "C2") }, false, "C2"},
		"DESELECT lost on its way back": {func(t *testing.T, p *processor, f card.Frames) {
			send(t, f, "E050")
			p.layer4 = false
		}, false, "500057CD"},
		"RATS without DESELECT": {func(t *testing.T, _ *processor, f card.Frames) { send(t, f, "E050") }, true, "52"},
		"RATS refused": {func(t *testing.T, p *processor, f card.Frames) {
			send(t, f, "E050")
			p.layer4 = false
			p.asleep = true
		}, false, "500057CD"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProcessor(t, nil)
				r := open(t, p.script)
				var off []time.Duration
				p.wrote = func(reg register, v byte) {
					if reg == regTxControl && v&txControlField == 0 {
						p.layer4, p.asleep = false, false
						off = append(off, 0)
						start := time.Now()
						p.wrote = func(reg register, v byte) {
							if reg == regTxControl && v&txControlField == txControlField {
								off[0] = time.Since(start)
							}
						}
					}
				}
				err := r.Select(t.Context(), p.card(t), func(f card.Frames) error {
					c.use(t, p, f)
					return own
				})
				if !errors.Is(err, own) {
					t.Error(err)
				}
				if c.fieldOff != (len(off) == 1 && off[0] > 5100*time.Microsecond && off[0] < 10*time.Millisecond) || !c.fieldOff && len(off) > 0 {
					t.Errorf("the field was off for %v", off)
				}
				if last := p.air()[len(p.frames)-1]; last != c.lastFrame || name == "not used" && len(p.frames) != 1 {
					t.Errorf("%s was sent, want %s at last", p.air(), c.lastFrame)
				}
				p.sees(t, r)
			})
		})
	}
}

func send(t *testing.T, f card.Frames, frame string) {
	t.Helper()
	if _, err := f.Transceive(t.Context(), unhex(t, frame), 20*time.Millisecond); err != nil {
		t.Error(err)
	}
}
