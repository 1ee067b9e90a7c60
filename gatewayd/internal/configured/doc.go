// Package configured makes the parts of a gateway that the configuration
// describes: the reader's chip, the fence, the working hours, the options of the
// journal and of the line to the city.
//
// The wiring of a running gateway needs all of them. Some commands need one
// alone, and must not start a gateway for it: doctor tries the chip and the line,
// check reads fence and roster, export and forget open the journal. Here both
// find the one place where a configuration key becomes an option of a room.
package configured
