package roster

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// badgeHeadings and tagHeadings are what people write over the two columns, in small
// letters and with single spaces.
func badgeHeadings() []string {
	return []string{
		"badge", "kartu", "nomor kartu", "no kartu", "no. kartu", "id kartu", "kode kartu",
		"uid", "uid kartu", "kartu uid", "kartu pegawai", "card",
	}
}

func tagHeadings() []string {
	return []string{"tag", "nomor tag", "no tag", "no. tag", "id tag", "kode tag", "tag gps", "pelacak", "radio"}
}

// formatKey is what a heading declares the format of UIDs with: uid_format=dec.
const formatKey = "uid_format"

// What can be wrong with these, with a verb to follow the number of the line.
const (
	noHeading       = "declares uid_format, but does not begin with a heading: write badge,tag,uid_format=dec"
	noSuchFormat    = "declares a uid_format that there is not: write hex, dec, hex-reversed or dec-reversed"
	formatInComment = "declares uid_format in a comment, where it would not count: write it into the heading, badge,tag,uid_format=dec"
	noSeparator     = "names a separator that is none: write sep=; or leave the line out"
)

// heading is what the first line of a file says, if it is one.
type heading struct {
	is     bool
	format uidFormat
}

// readHeading reads the first line. It is a heading if its first two cells are
// headings; a third may declare the format of UIDs.
func readHeading(fields []string) (h heading, problem string) {
	h.format = hex
	if len(fields) < 2 || !slices.Contains(badgeHeadings(), plainHeading(fields[0])) || !slices.Contains(tagHeadings(), plainHeading(fields[1])) {
		if slices.ContainsFunc(fields, func(f string) bool { _, ok := declared(f); return ok }) {
			return h, noHeading
		}
		return h, ""
	}
	switch {
	case len(fields) == 2:
		return heading{is: true, format: hex}, ""
	case len(fields) > 3:
		return h, ""
	}
	value, ok := declared(fields[2])
	if !ok {
		return h, ""
	}
	format := uidFormat(value)
	if !slices.Contains(uidFormats(), format) {
		return h, noSuchFormat
	}
	return heading{is: true, format: format}, ""
}

// plainHeading is a heading as it is compared.
func plainHeading(s string) string {
	return strings.Join(strings.Fields(strings.ToLower(strings.ReplaceAll(s, "_", " "))), " ")
}

// declared is the format that a cell declares.
func declared(cell string) (format string, ok bool) {
	key, value, ok := strings.Cut(strings.ToLower(cell), "=")
	if !ok || strings.TrimSpace(key) != formatKey {
		return "", false
	}
	return strings.Trim(value, " \t\""), true
}

var (
	// quotedFormat is uid_format = "dec", as somebody writes it who knows the
	// configuration's form. Within a line of CSV these quotes would be wrong.
	quotedFormat = regexp.MustCompile(`(?i)\b(uid_format) *= *"([a-z-]*)"`)
	// separatorLine is the line with which spreadsheets are told the separator.
	separatorLine = regexp.MustCompile(`(?i)^"?sep=([^\r\n"]*)"?\r?\n?$`)
	// formatComment declares the format where nobody looks for it.
	formatComment = regexp.MustCompile(`(?im)^[ \t]*#[# \t]*uid_format *=`)
)

// prepare reads what a file says about itself before its first cell: the separator, by
// a line sep=; or by the first line that has one. That line is emptied, so that all
// lines keep their numbers.
func prepare(data []byte) (rest []byte, comma rune, problem *Problem) {
	if at := formatComment.FindIndex(data); at != nil {
		line := 1 + bytes.Count(data[:at[0]], []byte("\n"))
		return nil, 0, &Problem{line, formatInComment}
	}
	first, others := data, []byte(nil)
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		first, others = data[:i+1], data[i+1:]
	}
	if m := separatorLine.FindSubmatch(first); m != nil {
		name := string(m[1])
		if name != "," && name != ";" && name != "\t" {
			return nil, 0, &Problem{1, noSeparator}
		}
		data, comma = append([]byte("\n"), others...), rune(name[0])
	}
	data = unquoteFormat(data)
	if comma == 0 {
		comma = separator(data)
	}
	return data, comma, nil
}

// unquoteFormat takes the quotes off uid_format = "dec" in the first line with content.
func unquoteFormat(data []byte) []byte {
	at := 0
	for line := range bytes.Lines(data) {
		if text := bytes.TrimSpace(line); len(text) == 0 || text[0] == '#' {
			at += len(line)
			continue
		}
		return slices.Concat(data[:at], quotedFormat.ReplaceAll(line, []byte("$1=$2")), data[at+len(line):])
	}
	return data
}
