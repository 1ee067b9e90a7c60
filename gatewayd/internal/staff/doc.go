// Package staff records who is where: for each person in the roster, what badge and
// tag tell together, as presence events.
//
// It exists because a badge alone tells that a piece of plastic was at the door, and
// a tag alone where another one is. It reads the journal as it grows, so each
// presence event rests on events that are durable, and names them; and all that it
// has to know after a restart is there.
//
// # What it records
//
// During the working hours, and only while the time is known, for each person one of
// the states
//
//	on_site        the badge was shown today, and the tag is inside
//	badge_only     the badge was shown today; the tag is silent, or it is not
//	               known on which side of the fence it is
//	contradiction  the badge was shown today, and since then the tag's live
//	               fixes have said outside for 5 minutes, all of them
//	off_site       the badge was not shown today, nor is the tag inside
//
// Today is the civil day of the office. A state is recorded when it changes, and once
// a day where it does not: yesterday's does not hold for today. An off_site is only
// recorded to end a state of an earlier day, once a day, and not before the office
// has been open for a while; for somebody of whom no state was recorded before, it
// is not.
//
// # How it is fair
//
// What speaks against somebody needs proof. The time for which a tag counts as
// outside is that between two live fixes without another in between that was not
// outside, and only the part of it after the badge was last shown, after the office
// opened, and after this process started. What speaks for somebody needs no proof: a
// contradiction ends as soon as the tag is no longer surely outside.
//
// A tag that becomes silent or uncertain ends no other state for a while, and each
// time on the same day for a longer one: a tag indoors receives its satellites badly.
package staff
