// Package clock says what time it is and how well that is known.
//
// It exists because a Raspberry Pi has no clock chip: after a power cut its
// wall clock may show 1970 until somebody tells it better, while pay depends
// on the minute of a tap. Nothing waits for the time: every event keeps raw
// readings of all clocks (presence.Reading), and what they are worth is worked
// out when the event is sent (Clock.Timing).
//
// A Source reads the machine's clocks. A Clock watches them: while the system's
// clock is disciplined, and whenever the broker tells the time, it notes in its
// Book an anchor, an instant of the boot clock whose true time is known. The
// Book answers for any instant, before or after. A Store keeps the Book over
// power cuts.
//
// Sources that contradict each other, or themselves, are voices of which none is
// believed until a third agrees with one. What hours and certificates hang on is
// decided without what a broker says and nobody signed.
//
// What it cannot know: a server that tells a wrong time, as long as nobody
// contradicts it, or two that tell the same wrong time; a line on which one direction takes 100 ms longer than the
// other, where the NTP client does not say so; and, of events in the last hours
// before a leap second that nobody could tell the time of until after it, which
// of the two seconds to count from.
package clock
