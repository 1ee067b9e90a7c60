// Package export writes what the journal holds for people: events as JSON lines or
// as a table (CSV), the recap of a day or month, and beside them a log of who asked.
//
// It exists so that `gatewayd export` prints the same whether a gateway runs, which
// then writes the export itself, or does not, and the command reads the journal's
// file. What an export needs of the rooms is in Source.
package export
