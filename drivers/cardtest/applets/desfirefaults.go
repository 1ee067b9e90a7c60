package applets

// DESFireFault is what a DESFire or an NTAG does wrong, or other than most.
type DESFireFault int

// The faults. Where it is not said that the card is sound, it must be refused.
const (
	SoundDESFire DESFireFault = iota

	NoKey                 // claims its family, draws its answers to an authentication at random, and says that all is well
	UnknownAuthentication // knows no EV2First, as a DESFire EV1
	AbortsPart2           // 91CA to the second part
	WrongRndA             // one bit of RndA' is wrong
	UnrotatedRndA         // RndA comes back as it was sent
	FlippedTI             // tells another TI than it goes by
	UnknownCapabilities   // PDcap2 has bits that nobody knows; the card is sound

	Part1Short // 15 bytes instead of 16, 91AF
	Part1Long  // 17 bytes
	Part1Empty // 9100 and no data
	Part1Done  // the right 16 bytes, and 9100
	Part2Short // 31 bytes instead of 32
	Part2Long  // 33 bytes
	Part2Empty // 9100 and no data

	WrongMAC      // one bit of the MAC of GetCardUID is wrong
	OtherUID      // GetCardUID tells another UID than the card shows, with the right MAC
	UIDEmpty      // GetCardUID answers 9100 and no data
	UIDWithoutMAC // encrypted, and nothing after it
	UIDPlain      // not encrypted, with the right MAC
	UIDShort      // 15 bytes of cipher text, and the right MAC
	UIDPadding    // the padding of the encrypted UID is wrong, and the MAC is right
	UIDMore       // 91AF with the right answer to GetCardUID
	StaleCounter  // the MAC and IV of GetCardUID are those of a counter that was not raised

	EndlessFrames // wants another AF, whatever was asked
)

func (d *DESFire) spoilPart1(answer []byte) ([]byte, byte) {
	switch d.o.Fault {
	case NoKey:
		d.random(answer)
	case Part1Short:
		return answer[:15], stMore
	case Part1Long:
		return append(answer, 0x00), stMore
	case Part1Empty:
		d.pending = pending{}
		return nil, stDone
	case Part1Done:
		return answer, stDone
	}
	return answer, stMore
}

func (d *DESFire) spoilPart2(answer []byte) ([]byte, byte) {
	switch d.o.Fault {
	case Part2Short:
		return answer[:31], stDone
	case Part2Long:
		return append(answer, 0x00), stDone
	case Part2Empty:
		return nil, stDone
	case EndlessFrames:
		return d.frames(answer)
	}
	return answer, stDone
}

// spoilUID answers GetCardUID, in whose session nothing but the right answer counts as
// one (Log).
func (d *DESFire) spoilUID(uid []byte) ([]byte, byte) {
	s := d.session
	maced := func(data []byte) ([]byte, byte) {
		mac := s.macOver(stDone, data)
		return append(data, mac[:]...), stDone
	}
	switch d.o.Fault {
	case UIDEmpty:
		return nil, stDone
	case UIDWithoutMAC:
		return s.seal(uid), stDone
	case UIDMore:
		return d.wrap(uid, Full), stMore
	case UIDPlain:
		return maced(append([]byte(nil), uid...))
	case UIDShort:
		return maced(s.seal(uid)[:15])
	case UIDPadding:
		return maced(encrypt(s.enc, s.iv(true), append(append([]byte(nil), uid...), 1, 2, 3, 4, 5, 6, 7, 8, 9)))
	case StaleCounter:
		s.counter--
		answer := d.wrap(uid, Full)
		s.counter++
		return answer, stDone
	case EndlessFrames:
		return d.frames(nil)
	case OtherUID:
		other := append([]byte(nil), uid...)
		other[6] ^= 0x01
		return d.wrap(other, Full), stDone
	}
	answer := d.wrap(uid, Full)
	if d.o.Fault == WrongMAC {
		answer[len(answer)-1] ^= 0x80
	} else {
		d.uidRead(s.rndA)
	}
	return answer, stDone
}
