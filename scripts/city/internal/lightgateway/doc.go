// Package lightgateway behaves towards a broker and a city as a gateway does, and costs
// little enough that thousands of them fit in one process.
//
// It exists because what a city's broker, recorder and database can bear shows only under
// the load of a whole city, and 2,000 real gateways take more memory than one machine has.
// What it says and when is what gatewayd says: it connects with a clean session and a last
// will, subscribes, says that it is online, publishes its retained documents, and then its
// events in order with a window of unconfirmed ones. Receipts move its cursor; after a lost
// connection everything behind the cursor goes again; where no receipt comes, the oldest
// few events go again at intervals that grow; it answers commands. TestLikeARealGateway
// compares the packets of both.
//
// It leaves out what needs hardware, a disk or hours: its journal is in memory, it asks
// nobody for the time, takes no signed documents, and raises no alerts.
//
//	gateway.go     what others may do with a gateway: record events, run it, cut its line
//	journal.go     its events and streams
//	event.go       an event as JSON
//	ledger.go      what is confirmed and what goes again (repeat.go)
//	session.go     one connection: greeting, and the loop that sends
//	sending.go     what it sends; batch.go packs batches
//	pace.go        how much is on its way on a slow line
//	inbound.go     what comes from the broker: PUBACKs, receipts, commands
//	documents.go   status, info, health, replies
//	packet.go      packets of MQTT 3.1.1
//	latency.go     how long events took until their receipt
package lightgateway
