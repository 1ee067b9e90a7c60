package piv

import "fmt"

// object is a data object in BER-TLV (ISO/IEC 7816-4, 5.2.2).
type object struct {
	tag   uint32 // the tag's bytes, most significant first: 0x53, 0x5F50
	value []byte
}

// objects cuts b into the data objects that it consists of. Not one byte may be left over.
//
// A length may take more bytes than it needs: cards leave room for the longest
// certificate and always write two. A length that is not given (80) is refused.
func objects(b []byte) ([]object, error) {
	var all []object
	for len(b) > 0 {
		tag, rest, err := cutTag(b)
		if err != nil {
			return nil, err
		}
		n, rest, err := cutLength(rest)
		if err != nil {
			return nil, fmt.Errorf("tag %X: %w", tag, err)
		}
		if n > len(rest) {
			return nil, fmt.Errorf("%w: tag %X has %d of %d bytes", ErrMalformed, tag, len(rest), n)
		}
		all = append(all, object{tag: tag, value: rest[:n]})
		b = rest[n:]
	}
	return all, nil
}

// cutTag reads a tag of one to three bytes.
func cutTag(b []byte) (tag uint32, rest []byte, err error) {
	tag = uint32(b[0])
	if tag == 0 {
		return 0, nil, fmt.Errorf("%w: tag 00", ErrMalformed)
	}
	if tag&0x1F != 0x1F {
		return tag, b[1:], nil
	}
	for i := 1; i < len(b) && i < 3; i++ {
		if i == 1 && b[i] == 0x80 { // a number with a leading zero
			break
		}
		tag = tag<<8 | uint32(b[i])
		if b[i]&0x80 == 0 {
			return tag, b[i+1:], nil
		}
	}
	return 0, nil, fmt.Errorf("%w: tag that begins with %02X", ErrMalformed, b[0])
}

// cutLength reads a length of one to three bytes. No answer is longer than what they hold.
func cutLength(b []byte) (n int, rest []byte, err error) {
	switch {
	case len(b) >= 1 && b[0] < 0x80:
		return int(b[0]), b[1:], nil
	case len(b) >= 2 && b[0] == 0x81:
		return int(b[1]), b[2:], nil
	case len(b) >= 3 && b[0] == 0x82:
		return int(b[1])<<8 | int(b[2]), b[3:], nil
	}
	return 0, nil, fmt.Errorf("%w: length", ErrMalformed)
}

// only returns the value of the one data object with the tag of which b consists.
func only(b []byte, tag uint32) ([]byte, error) {
	all, err := objects(b)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 || all[0].tag != tag {
		return nil, fmt.Errorf("%w: want tag %X alone", ErrMalformed, tag)
	}
	return all[0].value, nil
}

// one returns the value of the data object with the tag. A second one is refused, since
// another reader might take that.
func one(all []object, tag uint32) ([]byte, error) {
	var value []byte
	found := 0
	for _, o := range all {
		if o.tag == tag {
			value = o.value
			found++
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("%w: tag %X %d times", ErrMalformed, tag, found)
	}
	return value, nil
}
