// Package lamp drives what a person at the door sees and hears: a green and a
// red LED and a buzzer, any of which may be missing.
//
// It exists because people look at a lamp for half a second. Accepted, repeat
// and refused differ by colour, by rhythm (for those who do not see the colour)
// and by sound (for those who do not look), and showing them never keeps the
// next badge waiting.
package lamp
