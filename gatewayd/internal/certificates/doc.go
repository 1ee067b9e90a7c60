// Package certificates knows when the certificates end on which the line to the city
// rests: the gateway's own, the city's authorities, and the one that the broker shows.
//
// It exists because nobody else looks at their dates. A certificate that ends takes
// away the line of one gateway, that of the broker or of an authority the lines of all
// of them, on a day that is known long before.
package certificates
