package applets

import (
	"bytes"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// NewCard is the badge with a program of its own.
func (b Badge) NewCard() (*cardtest.Card, error) {
	program, err := b.Program()
	if err != nil {
		return nil, err
	}
	return b.Card(program)
}

// Card is the badge as it is put into a field, with its program.
func (b Badge) Card(program cardtest.Applet) (*cardtest.Card, error) {
	v, err := b.variant()
	if err != nil {
		return nil, err
	}
	if v.layer3 {
		return cardtest.New(b.UID, card.MifareClassic1K)
	}
	var c *cardtest.Card
	if b.Drawn {
		c, err = cardtest.NewRandom(card.ISO14443_4, b.Seed)
	} else {
		c, err = cardtest.New(b.UID, card.ISO14443_4)
	}
	if err != nil {
		return nil, err
	}
	protocol := cardtest.DESFire()
	switch b.Kind {
	case KindPIV:
		protocol = cardtest.JavaCard()
	case KindNTAG424:
		protocol = cardtest.NTAG424()
	case KindEV2, KindEV3, KindClone:
	}
	if v.protocol != nil {
		v.protocol(&protocol)
	}
	c.SetApplet(program, protocol)
	return c, nil
}

// onTheAir are badges that misbehave in ISO/IEC 14443-4, whatever their program is.
func onTheAir() []variant {
	kinds := []Kind{KindPIV, KindEV2, KindEV3, KindNTAG424}
	return []variant{{
		Rogue: Rogue{Name: "wtx-storm", About: "asks for more time, again and again", Kinds: kinds},
		protocol: func(p *cardtest.Layer4) {
			p.WTX, p.WTXAfter = bytes.Repeat([]byte{59}, 1000), 10*time.Millisecond
		},
	}, {
		Rogue:    Rogue{Name: "endless-blocks", About: "each block says that another one follows", Kinds: kinds},
		protocol: func(p *cardtest.Layer4) { p.EndlessChain = true },
	}, {
		Rogue:    Rogue{Name: "broken-ats", About: "its answer to select is shorter than it says", Kinds: kinds},
		protocol: func(p *cardtest.Layer4) { p.RawATS = []byte{0x10, 0x75, 0x77} },
	}}
}
