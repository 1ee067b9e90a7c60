package card

// Technology names what kind of card it is, as far as ATQA and SAK tell.
type Technology string

// The technologies that ATQA and SAK can tell apart, and type B (NXP AN10833, "MIFARE type
// identification procedure", tables 5 and 6).
const (
	MifareUltralight Technology = "mifare-ultralight"
	MifareMini       Technology = "mifare-mini"
	MifareClassic1K  Technology = "mifare-classic-1k"
	MifareClassic2K  Technology = "mifare-classic-2k"
	MifareClassic4K  Technology = "mifare-classic-4k"
	MifarePlus2K     Technology = "mifare-plus-2k"
	MifarePlus4K     Technology = "mifare-plus-4k"
	ISO14443_4       Technology = "iso14443-4"
	ISO18092         Technology = "iso18092"
	ISO14443B        Technology = "iso14443-b"
	Unknown          Technology = "unknown"
)

// Technologies are those of type A.
func Technologies() []Technology {
	return []Technology{
		MifareUltralight, MifareMini, MifareClassic1K, MifareClassic2K, MifareClassic4K,
		MifarePlus2K, MifarePlus4K, ISO14443_4, ISO18092, Unknown,
	}
}

// Technology classifies the card. SAK decides; ATQA is only a hint that
// collisions can spoil (AN10833, 3.1: "the ATQA must not be used" to identify
// a card when several are in the field).
func (c Card) Technology() Technology {
	if c.TypeB {
		return ISO14443B
	}
	switch c.SAK &^ 0x04 {
	case 0x00:
		return MifareUltralight
	case 0x09:
		return MifareMini
	case 0x08, 0x28, 0x88:
		return MifareClassic1K
	case 0x19:
		return MifareClassic2K
	case 0x18, 0x38, 0x98:
		return MifareClassic4K
	case 0x10:
		return MifarePlus2K
	case 0x11:
		return MifarePlus4K
	case 0x40:
		return ISO18092
	}
	if c.SAK&0x20 != 0 {
		return ISO14443_4
	}
	return Unknown
}
