// Package isodep is the reader's side of ISO/IEC 14443-4, the half-duplex block protocol
// that carries commands to a processor card.
//
// It exists once for all reader chips: it needs nothing of a chip but that it sends a
// frame and returns the answer (card.Frames), and offers what the proof of a badge needs,
// commands and their responses (card.Link).
//
// A door is a hard place for this protocol. Cards are pulled away at any moment, they lie
// at the edge of the field, and one that computes a signature asks for more time again and
// again. So:
//
//   - A link has a budget of time, over everything, and no card can stretch it: neither by
//     waiting time extensions nor by a response that does not end.
//   - A frame that is lost or spoilt is asked for again, as the standard's rules 4 to 8 of
//     7.5.5 say, and the card carries out a command once all the same: whether our block or
//     its answer was lost shows in the number of the block that acknowledges.
//   - What the standard does not know ends the link at once, and no response is ever
//     delivered that did not carry the number of the block that it answers.
//
// Only the lowest bit rate is used (no PPS), and neither CID nor NAD: one card is selected
// at a time, and CID 0 without its byte is always allowed.
//
// Clause numbers are those of ISO/IEC 14443-4:2008 where nothing else is said. Times are
// given by the standard as periods of the carrier, 13.56 MHz.
package isodep
