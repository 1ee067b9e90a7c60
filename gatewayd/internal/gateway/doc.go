// Package gateway wires a running gateway: it makes the rooms from left to right,
// as the data goes, starts and stops their tasks in the right order, and answers on
// the control socket for all of them.
//
// It exists so that a room reaches another one only through a small interface that it
// declares itself: here is the one place that knows them all. It decides
// nothing that a room could decide. Only the commands run and demo import it; a
// command that needs one part of a gateway takes it from package configured.
package gateway
