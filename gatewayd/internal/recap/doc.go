// Package recap makes the sheet of one day: first and last tap of each badge,
// when this gateway could not do its work, and what it lost.
//
// It exists for disputes about pay. Whoever was at the office and is not in
// the record needs a paper that says whether the device was at fault, and how
// well it knew the time.
package recap
