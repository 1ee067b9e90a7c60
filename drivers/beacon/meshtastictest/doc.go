// Package meshtastictest is a Meshtastic radio in software, at the other end of its
// serial line.
//
// It exists because a radio is no mere sender: it hands nothing over unless it is asked,
// forgets who asked when it starts anew or hears nothing from him for 15 minutes, prints
// text until it is spoken to, keeps few packets for somebody who is away, and tells what
// it had kept as if it were new. It does as firmware 2.7 and 2.8 do, on a clock that a
// test moves, and notes what nobody should ask a radio for. It shares no code with the
// decoder.
package meshtastictest
