// Package evidence checks, long after a tap, what the tap proves.
//
// A badge that proves itself signs a number that is new at each tap and made of the
// gateway, its stream and its clock. The event carries the signature. Whoever has the event,
// the badge's certificate and the city's badge authority can see that the badge's key was at
// that gateway then, and needs to believe neither the gateway nor the broker nor the
// database in that. The gateway chooses the number, so a gateway that was broken into could
// ask a badge that is held to it more than once: what it cannot do is invent a badge.
package evidence
