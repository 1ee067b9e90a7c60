// Package bus opens the SPI ports and GPIO pins of the machine it runs on.
//
// It exists so that one place knows how Linux hands them out, and can say in
// plain words what to do when it does not: a Pi whose SPI is switched off, or a
// user who is not in the right group, is the commonest fault of all.
//
// Only periph's sysfs driver (for SPI) and its gpioioctl driver (for pins) are
// used. The drivers that map a chip's registers into memory need root, know
// only some models of the Pi, and on a Pi 5 map the wrong address.
//
// Nothing here is cached: a port that is missing now can be opened as soon as
// it appears.
package bus
