// Package capture is the form of a file with what came over a receiver's line: the
// bytes, and when they came.
//
// It exists so that a fault that somebody reports from the field becomes a test by
// copying a file: `gatewayd record` writes it, `gatewayd replay` and tests of decoders
// read it. The first line is a Header, each further one a Piece, all as JSON, so that a
// person can read it, and shorten it with a text editor:
//
//	{"v":1,"receiver":"yard","protocol":"kenwood","baud":9600,"started":"2026-11-23T08:18:36+07:00"}
//	{"at_ms":1042,"text":"$PKNDS,114400,A,4954.1450,N,11923.6043,W,001.4,356.8,130223,19.20,W00,U00002,207,00,*2E\r\n"}
//	{"at_ms":2113,"hex":"94c3000418ad9e04"}
package capture
