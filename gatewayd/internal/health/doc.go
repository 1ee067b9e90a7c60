// Package health gathers how the gateway fares into one document, and decides
// what of it a person must know.
//
// It exists because IT looks at a hundred gateways at once: each says in one
// word how it is (the level), in a few texts what somebody should do (alerts,
// in Indonesian and English), and in numbers why. The package asks the rooms
// through functions and hands documents to whoever publishes them; it
// publishes nothing itself.
package health
