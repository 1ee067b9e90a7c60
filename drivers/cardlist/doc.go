// Package cardlist reads what people and spreadsheets write into a list of cards: the
// separator, the heading, and card numbers in the notation that the heading declares.
//
// It exists because a roster is read by the gateway and a list of cards by the city, and
// a card that the two read differently is a card of somebody else. A spreadsheet changes
// such numbers silently: what it may have changed is refused.
package cardlist
