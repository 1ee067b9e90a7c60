package roster

import (
	"slices"

	"presence/drivers/cardlist"
)

// tagHeadings are what people write over the column of tags, in small letters and with
// single spaces.
func tagHeadings() []string {
	return []string{"tag", "nomor tag", "no tag", "no. tag", "id tag", "kode tag", "tag gps", "pelacak", "radio"}
}

// heading is what the first line of a file says, if it is one.
type heading struct {
	is       bool
	notation cardlist.Notation
}

// readHeading reads the first line. It is a heading if its first two cells are
// headings; a third may declare how card numbers are written.
func readHeading(fields []string) (h heading, problem string) {
	h.notation = cardlist.Hex
	if len(fields) < 2 || !cardlist.IsCardHeading(fields[0]) || !slices.Contains(tagHeadings(), cardlist.PlainHeading(fields[1])) {
		if slices.ContainsFunc(fields, func(f string) bool { _, ok := cardlist.Declared(f); return ok }) {
			return h, cardlist.NoHeading
		}
		return h, ""
	}
	switch {
	case len(fields) == 2:
		return heading{is: true, notation: cardlist.Hex}, ""
	case len(fields) > 3:
		return h, ""
	}
	n, ok := cardlist.Declared(fields[2])
	if !ok {
		return h, ""
	}
	if !slices.Contains(cardlist.Notations(), n) {
		return h, cardlist.NoSuchFormat
	}
	return heading{is: true, notation: n}, ""
}
