// Package sim is the mocked hardware of a running daemon: readers whose chip,
// field and cards are software, and commands that put cards into them.
//
// It exists so that a gateway can be tried, demonstrated and tested end to end
// without a door. Only the hardware is mocked: the chip driver, the door, the
// journal and the line to the city are the real ones, and what they record is
// marked as simulated.
package sim
