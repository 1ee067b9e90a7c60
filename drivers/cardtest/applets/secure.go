package applets

import (
	"crypto/subtle"
	"slices"
)

// lastCounter is the value of CmdCtr with which no command is carried out any more.
const lastCounter = 0xFFFF

// frameData is how much data one answer carries at most before it is continued by AF.
const frameData = 59

// unwrap takes the secure messaging off a command's data, of which the first bytes are
// a header that is never encrypted, and raises the counter. Without a session everything
// is plain.
func (d *DESFire) unwrap(ins byte, data []byte, header int, mode Mode) (head, body []byte, status byte) {
	s := d.session
	macLen := 8
	if s == nil || mode == Plain {
		macLen = 0
	}
	if len(data) < header+macLen {
		return nil, nil, stLength
	}
	body, mac := data[:len(data)-macLen], data[len(data)-macLen:]
	head, body = body[:header], body[header:]
	if s == nil {
		return head, body, stDone
	}
	if s.counter == lastCounter {
		return nil, nil, stAborted
	}
	if mode != Plain {
		want := s.macOver(ins, head, body)
		if subtle.ConstantTimeCompare(want[:], mac) != 1 {
			return nil, nil, stIntegrity
		}
	}
	if mode == Full && len(body) > 0 {
		plain, ok := s.open(body)
		if !ok {
			return nil, nil, stIntegrity
		}
		body = plain
	}
	s.counter++
	return head, body, stDone
}

// wrap puts the secure messaging around the data of a response with status 00.
func (d *DESFire) wrap(data []byte, mode Mode) []byte {
	s := d.session
	if s == nil || mode == Plain {
		return data
	}
	if mode == Full && len(data) > 0 {
		data = s.seal(data)
	}
	mac := s.macOver(stDone, data)
	return append(slices.Clone(data), mac[:]...)
}

// cardUID is GetCardUID, which tells the real UID to a reader with a key, encrypted.
func (d *DESFire) cardUID(data []byte) ([]byte, byte) {
	if d.session == nil {
		return nil, stAuthentication
	}
	if len(data) != 8 {
		return nil, stLength
	}
	if _, _, status := d.unwrap(cmdUID, data, 0, MACed); status != stDone {
		return nil, status
	}
	return d.spoilUID(d.o.UID[:])
}

func (d *DESFire) fileNumbers(data []byte) ([]byte, byte) {
	if !d.selected {
		return nil, stPermission
	}
	_, body, status := d.unwrap(cmdFiles, data, 0, MACed)
	if status == stDone && len(body) != 0 {
		status = stLength
	}
	if status != stDone {
		return nil, status
	}
	var numbers []byte
	for n := range d.o.Files {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return d.wrap(numbers, MACed), stDone
}

// access finds a file and how it is to be read or written now: one that is free, or of
// another key, has no secure messaging.
func (d *DESFire) access(data []byte) (*File, Mode, byte) {
	if len(data) < 7 {
		return nil, Plain, stLength
	}
	f := d.o.Files[data[0]]
	switch {
	case !d.selected || f == nil:
		return nil, Plain, stNoFile
	case f.Key == Free:
		return f, Plain, stDone
	case d.session == nil || d.session.keyNo != f.Key:
		return nil, Plain, stAuthentication
	}
	return f, f.Mode, stDone
}

// span is the part of a file that a header of number, offset and length means.
func span(head []byte, f *File) (from, n int, status byte) {
	number := func(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
	from, n = number(head[1:]), number(head[4:])
	if from > len(f.Data) || from+n > len(f.Data) {
		return 0, 0, stBoundary
	}
	return from, n, stDone
}

// read is ReadData; a length of 0 is all that follows the offset.
func (d *DESFire) read(ins byte, data []byte) ([]byte, byte) {
	f, mode, status := d.access(data)
	if status != stDone {
		return nil, status
	}
	head, body, status := d.unwrap(ins, data, 7, min(mode, MACed)) // nothing of the command is encrypted
	if status != stDone {
		return nil, status
	}
	if len(body) != 0 {
		return nil, stLength
	}
	from, n, status := span(head, f)
	if status != stDone {
		return nil, status
	}
	if n == 0 {
		n = len(f.Data) - from
	}
	return d.frames(d.wrap(f.Data[from:from+n], mode))
}

// frames sends what fits into one frame, and keeps the rest for AF.
func (d *DESFire) frames(data []byte) ([]byte, byte) {
	if d.o.Fault == EndlessFrames {
		d.pending = pending{command: cmdRead}
		return make([]byte, frameData), stMore
	}
	if len(data) <= frameData {
		return data, stDone
	}
	d.pending = pending{command: cmdRead, rest: data[frameData:]}
	return data[:frameData], stMore
}

// write is WriteData in one frame.
func (d *DESFire) write(data []byte) ([]byte, byte) {
	f, mode, status := d.access(data)
	if status == stDone && f.Key == Free {
		status = stPermission
	}
	if status != stDone {
		return nil, status
	}
	head, body, status := d.unwrap(cmdWrite, data, 7, mode)
	if status != stDone {
		return nil, status
	}
	from, n, status := span(head, f)
	switch {
	case status != stDone:
		return nil, status
	case n != len(body):
		return nil, stLength
	case n == 0:
		return nil, stParameter
	}
	copy(f.Data[from:], body)
	return d.wrap(nil, mode), stDone
}
