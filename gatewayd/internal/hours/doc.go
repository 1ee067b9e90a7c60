// Package hours knows when an office is open, that is when tag data may be
// recorded at all.
//
// It exists apart from the configuration because the law and the city decide
// the hours, and they come from more than one place: the file, a national
// default, a signed policy of the city. Each of them is turned into a Calendar, and
// the calendar in force is asked before a tag is recorded. Every day is a list of spans,
// so that a break within a day is just a second span.
package hours
