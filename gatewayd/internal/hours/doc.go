// Package hours knows when an office is open, that is when tag data may be
// recorded at all.
//
// It exists apart from the configuration because the law and the city decide
// the hours, and they come from more than one place: the file, a national
// default, later a policy of the city. Whoever knows them fills in a Calendar;
// whoever records tags asks it. Every day is a list of spans, so that breaks
// within a day need nothing new.
package hours
