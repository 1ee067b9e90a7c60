// Package terminal prints events, lamp answers and health for people: one line each,
// in colour where the output is a terminal, and in the language of its user where
// there are two.
//
// It exists so that `gatewayd watch`, `status` and `demo` show the same thing in the
// same words. Texts that programs read come from elsewhere: the health document, the
// events as JSON.
package terminal
