// Package deliver sends what a gateway recorded that does not run any more: of a card
// that was taken out of a broken Pi, or of a gateway that has another name by now.
//
// It exists so that such events reach the city as that gateway would have sent them:
// on its topics, under its certificate, with their streams and seqs, and with times by
// what its own clock knew. The sending itself is that of internal/uplink, which is told
// to publish events and nothing else, and the journal is opened by internal/journal,
// which is told to begin no stream. So nothing is added to what the gateway said, but
// for the gap that names losses which no gap named yet.
package deliver
