// Package roster knows which tag belongs to which badge, and how far a badge must prove
// who it is, and no names.
//
// It exists because the two come from different radios and only the city knows
// that they are carried by one person. The city says so in a CSV file that is
// read again when it changes, or in a signed document; where both are there the
// document counts. Raw card numbers in either become keyed hashes while they are
// read, and are neither kept nor repeated in an error.
package roster
