package roster

import (
	"slices"
	"strings"

	"presence/drivers/cardlist"
)

// tagHeadings are what people write over the column of tags, in small letters and with
// single spaces.
func tagHeadings() []string {
	return []string{"tag", "nomor tag", "no tag", "no. tag", "id tag", "kode tag", "tag gps", "pelacak", "radio"}
}

// assuranceHeadings are what people write over the column of assurances.
func assuranceHeadings() []string {
	return []string{"assurance", "jaminan", "tingkat jaminan", "bukti"}
}

// heading is what the first line of a file says, if it is one.
type heading struct {
	is        bool
	notation  cardlist.Notation
	assurance int // the column of assurances, from 0
}

// noHeading is how a file without a heading is read.
func noHeading() heading { return heading{notation: cardlist.Hex, assurance: 2} }

// readHeading reads the first line. It is a heading if its first two cells are headings;
// of those behind them one may be that of the assurance, and one declare how card numbers
// are written.
func readHeading(fields []string) (h heading, problem string) {
	h = noHeading()
	if len(fields) < 2 || !cardlist.IsCardHeading(fields[0]) || !slices.Contains(tagHeadings(), cardlist.PlainHeading(fields[1])) {
		if slices.ContainsFunc(fields, func(f string) bool { _, ok := cardlist.Declared(f); return ok }) {
			return h, cardlist.NoHeading
		}
		return h, ""
	}
	h.is = true
	var named, declared bool
	for i := 2; i < len(fields); i++ {
		n, declares := cardlist.Declared(fields[i])
		switch {
		case declares && !declared:
			if !slices.Contains(cardlist.Notations(), n) {
				return h, cardlist.NoSuchFormat
			}
			h.notation, declared = n, true
		case slices.Contains(assuranceHeadings(), cardlist.PlainHeading(fields[i])) && !named:
			h.assurance, named = i, true
		default:
			return noHeading(), ""
		}
	}
	return h, ""
}

// columns takes a line apart, without the empty cells at its end. It is false where there
// are fewer or more than there should be. Over the assurance there need not be a heading.
func (h heading) columns(fields []string) (badge, tag, assurance string, ok bool) {
	if len(fields) < 2 {
		return "", "", "", false
	}
	for i := 2; i < len(fields); i++ {
		_, declares := cardlist.Declared(fields[i])
		switch {
		case i == h.assurance && !declares: // a heading that does not come first is none
			assurance = fields[i]
		case strings.TrimSpace(fields[i]) != "":
			return "", "", "", false
		}
	}
	return fields[0], fields[1], assurance, true
}
