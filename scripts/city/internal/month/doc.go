// Package month simulates a month of a city's offices, of which it knows what truly
// happened.
//
// It exists because nobody can see by looking at a query whether it treats a person
// justly. Here people come and go, gateways fail, clocks err, and what gateways would
// send of it is made as JSON, for the database. Beside that the package says in plain Go,
// and without any SQL, what the events leave open: it tries each of the ways in which it
// can have been (Truth). And it knows how it truly was (Actual).
//
// All times of day are what the wall clock of an office shows, as time.Time in UTC. Only
// what gateways send is in the office's zone.
package month
