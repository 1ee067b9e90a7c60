package beacon

import "io"

// Overhear is a reader of the same bytes that calls hear with what is read, before it is
// decoded. The bytes are valid during the call.
func Overhear(r io.Reader, hear func(data []byte)) io.Reader { return io.TeeReader(r, hearer(hear)) }

// hearer passes on what is written to it.
type hearer func(data []byte)

// Write implements io.Writer.
func (h hearer) Write(b []byte) (int, error) {
	h(b)
	return len(b), nil
}
