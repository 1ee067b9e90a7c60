// Package intake is the recorder's sessions at the brokers: each hands on what gateways
// publish, and acknowledges a message to the broker only when it is told to.
//
// It exists because a broker forgets what is acknowledged. A session stays at the broker
// while nobody is connected (clean session false), so what is not acknowledged comes
// again, in order. Every connection is a client of its own: an acknowledgement of a
// message that came over an earlier one goes nowhere, where on a new connection the same
// number could stand for another message.
//
// Two recorders share one client id, so that they share one session. A broker throws the
// earlier connection off when a later one comes, and gives the later one what was not
// acknowledged. For that only the recorder that leads connects, and it makes sure of that
// before each connection: one that was frozen and wakes would throw the other one off.
package intake
