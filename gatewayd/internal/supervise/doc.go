// Package supervise keeps a gateway's tasks running.
//
// It exists because nobody stands beside a gateway: a task that fails is
// started again after a while, and one that cannot go on in this process says
// so (Fatal) and takes the process with it, to be started afresh.
package supervise
