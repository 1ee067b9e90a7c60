// Package supervise keeps a gateway's tasks running.
//
// It exists because nobody stands beside a gateway: a task that fails is
// started again after a while, and one that cannot go on in this process says
// so (Fatal) and takes the process with it, to be started afresh. A loop that
// neither fails nor goes on is found by its pulse: systemd's watchdog is fed only
// while all beat.
package supervise
