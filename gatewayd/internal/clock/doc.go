// Package clock says what time it is and how well that is known.
//
// It exists because a Raspberry Pi has no clock chip: after a power cut its
// wall clock may show 1970 until somebody tells it better, while pay depends
// on the minute of a tap. Nothing waits for the time: every event keeps raw
// readings of all clocks (presence.Reading), and what they are worth is worked
// out when the event is sent (Clock.Timing).
package clock
