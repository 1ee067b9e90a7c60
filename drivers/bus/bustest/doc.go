// Package bustest is the host's end of a chip in software: an SPI port and pins that
// behave as periph's own do on a Pi.
//
// It exists so that each chip in software says only what its chip does with a byte, and
// all of them are as strict with a driver as the kernel is.
package bustest
