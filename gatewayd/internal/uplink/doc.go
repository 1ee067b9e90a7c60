// Package uplink is the gateway's connection to the city, and the only importer of
// paho.
//
// It exists because "published" is not "delivered": it sends the journal's events in
// order, a window of them at a time, and moves the journal's cursor only over an
// unbroken run of confirmed ones. It relies on no state that a connection leaves
// behind: each has a client of its own with a clean session, and after a loss the next
// one begins at the cursor. What a broker gets twice by that has the same id and rev.
//
// # The way of an event
//
//	reader.go       reads the events behind the cursor from the journal, 256 at a time
//	sender.go       gets them, and enters them in the ledger (ledger.go), which leaves
//	                out those that the city has already
//	revisions.go    decides with which timing each is published, and saves it
//	sender.go       waits for a place in the window and publishes the event
//	batches.go      packs events that wait anyway together, if the broker lets batches
//	                through (batchtrial.go)
//	pace.go         bounds what is on its way on a slow line; ahead.go sends new taps
//	                ahead of what waits there
//	pubacks.go      waits for its PUBACK, and accounts for it: without receipts the
//	                cursor moves over it; with receipts it begins to wait for its own
//	receipts.go     gets the city's receipt, by which the ledger moves the cursor as far
//	                as no event before is unconfirmed
//	repetition.go   has events sent again whose receipt does not come
//	resync.go       has events sent again for which the city asks
//	corrections.go  has events sent again whose time is known better by now; review.go
//	                is how far they have been looked through for that
//
// drain.go starts the three goroutines that do this for one connection.
//
// # The rest
//
//	options.go      what the uplink needs of others: journal, clock, limits
//	uplink.go       Run connects again and again; what others may ask the uplink
//	session.go      one connection from CONNECT to its end (connect.go, greeting.go), over
//	                a client of paho that keeps nothing (nostore.go)
//	dial.go         TCP and TLS, with the proxy (tunnel.go) and WebSocket (websocket.go)
//	                where they are configured; bounded.go keeps out packets that paho
//	                does not survive, coalescing.go joins small writes
//	traffic.go      counts what goes through the TCP connection, and knows when something came last
//	retained.go     publishes status, health, alerts and other retained documents
//	post.go         publishes documents and replies, alone where that is necessary
//	suspects.go     finds out over which publication a broker closes the connection
//	                (doubtful.go, batchsuspects.go)
//	inbound.go      puts messages from the broker into queues: ownstatus.go, commands.go
//	                (executed.go, replies.go), documentqueue.go; rejected.go counts the rest
//	rereading.go    reads documents of the city again that a broker has dropped
//	citytime.go     asks the city for the time
//	probe.go        tries the way to the broker for gatewayd doctor
package uplink
