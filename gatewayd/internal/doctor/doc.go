// Package doctor examines a machine and its configuration, and names for each
// thing that is wrong the command that mends it.
//
// It exists for the technician who has ten minutes at an office, and for the colleague
// who later helps somebody there by telephone. It takes nothing away from a gateway
// that runs: ports are not opened, pins not driven, and it does not connect to the
// broker under the gateway's name a second time. What it reads of the machine are files
// below a root. While no gateway runs, each reader's chip is opened and tests itself.
package doctor
