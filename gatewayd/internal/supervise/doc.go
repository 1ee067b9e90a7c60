// Package supervise keeps a gateway's tasks running.
//
// It exists because nobody stands beside a gateway: a task that fails is started again
// after a while, and one that cannot go on in this process returns a Fatal error, which
// ends the process so that systemd starts it anew. A loop that neither fails nor goes
// on is found by its pulse: systemd's watchdog is fed only while all pulses beat.
package supervise
