// Package serial opens the serial line of a receiver and reads it without ever
// spinning or hanging.
//
// It exists because a receiver is pulled out, put back and renumbered while the
// gateway runs, and because github.com/tarm/serial, which sets up the line and
// reads it here, says (0, io.EOF) both for "nothing yet" and for "gone for
// good". A Port waits with poll(2) on a descriptor of its own, which tells data,
// a hang-up and Close apart and costs nothing while the line is quiet.
//
// A port is held exclusively, by two means. An advisory lock (flock) is what
// other programs of this kind look at (picocom, pyserial, a second gateway), and
// what stops the superuser too. TIOCEXCL makes the kernel refuse everyone else
// but the superuser. Pseudo terminals get the lock alone: the kernel forgets
// TIOCEXCL only when both ends are closed, so that a program that was killed
// would shut itself out for as long as the other end lives.
//
// A Port does not reopen itself. Its owner closes it after an error and calls
// Open again, with a growing pause between attempts; every error of Open may
// heal, except ErrBaud.
package serial
