// Package staff says who is where: of each person in the roster, what badge and
// tag together tell.
//
// It exists because a badge alone says that a piece of plastic was at the door,
// and a tag alone where a piece of plastic is. It reads the journal as it grows,
// so what it says rests on events that are durable, and names them; and all it
// has to know after a restart is there.
//
// # What it says
//
// During the working hours, and only while the time is known, of each person:
//
//	on_site        the badge was shown today, and the tag is inside
//	badge_only     the badge was shown today; the tag is silent, or nobody can
//	               tell on which side of the fence it is
//	contradiction  the badge was shown today, and since then the tag's live
//	               fixes have said outside for 5 minutes, all of them
//	off_site       the badge was not shown today, nor is the tag inside
//
// Today is the civil day of the office. It says so when it changes, and once a
// day where it does not: what it said yesterday is not taken for today's. An
// off_site is only said to end what was said on an earlier day, once a day, and
// not before the office has been open for a while; of who was not there before
// nothing is said.
//
// # How it is fair
//
// What speaks against somebody needs proof: the time for which a tag is outside
// is that between two live fixes without one in between that said otherwise,
// and only that counts which lies behind the last showing of the badge, the end
// of a break and the start of this process. What speaks for somebody needs none:
// a contradiction ends as soon as the tag is not surely outside any more.
//
// A tag that is silent or uncertain takes nothing back for a while, and for
// longer each time on the same day: a tag indoors hears its satellites badly.
package staff
