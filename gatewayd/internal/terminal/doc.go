// Package terminal prints events, lamp answers and health for people: one line each,
// in colour where the output is a terminal, in the language of its user, with the times
// of the office.
//
// It exists so that `gatewayd watch`, `status`, `doctor` and `demo` say the same thing
// in the same words, which are all in the table of words.go. Texts that programs read
// come from elsewhere: the health document, the events as JSON.
package terminal
