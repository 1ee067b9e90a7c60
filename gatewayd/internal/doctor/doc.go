// Package doctor examines a machine and its configuration, and names for each
// thing that is wrong the command that mends it.
//
// It exists for the technician who has ten minutes at an office, and for
// whoever is on the telephone with somebody there later. It looks only at what
// can be known without taking anything away from a gateway that runs: ports are
// not opened, pins not driven, and the broker is not told the gateway's name
// twice. What it sees of the machine are files below a root. While no gateway
// runs, each reader's chip is opened and tests itself.
package doctor
