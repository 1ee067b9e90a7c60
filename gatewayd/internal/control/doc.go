// Package control is the door for the person who stands at the gateway: the
// socket through which `gatewayd status`, `watch`, `export`, `verify` and `sim`
// ask the running daemon.
//
// It exists because the journal belongs to one process: who wants to read it
// while the daemon runs has to ask. The protocol is HTTP/1.1 with JSON over a
// Unix socket of mode 0660 in the state directory, so that curl can speak it;
// answers that go on are one JSON object a line.
package control
