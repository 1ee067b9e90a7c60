package cardlist

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// cardHeadings are what people write over the column of card numbers, in small letters
// and with single spaces.
func cardHeadings() []string {
	return []string{
		"badge", "kartu", "nomor kartu", "no kartu", "no. kartu", "id kartu", "kode kartu",
		"uid", "uid kartu", "kartu uid", "kartu pegawai", "card",
	}
}

// IsCardHeading reports whether a cell is what people write over a column of card
// numbers.
func IsCardHeading(cell string) bool { return slices.Contains(cardHeadings(), PlainHeading(cell)) }

// PlainHeading is a heading as it is compared: in small letters, with single spaces.
func PlainHeading(s string) string {
	return strings.Join(strings.Fields(strings.ToLower(strings.ReplaceAll(s, "_", " "))), " ")
}

// formatKey is what a heading declares the notation of UIDs with: uid_format=dec.
const formatKey = "uid_format"

// Declared is the notation that a cell of the heading declares. It need not be one of
// Notations.
func Declared(cell string) (n Notation, ok bool) {
	key, value, ok := strings.Cut(strings.ToLower(cell), "=")
	if !ok || strings.TrimSpace(key) != formatKey {
		return "", false
	}
	return Notation(strings.Trim(value, " \t\"")), true
}

// Problem is what is wrong with a list as a whole, at one of its lines (from 1; 0 where
// all of it is meant), with a verb to follow the line's number.
type Problem struct {
	Line int
	Text string
}

// What can be wrong with a list before its first card.
const (
	NoText          = `is not UTF-8 text: save it as "CSV UTF-8"`
	NoHeading       = "declares uid_format, but does not begin with a heading: write badge,tag,uid_format=dec"
	NoSuchFormat    = "declares a uid_format that there is not: write hex, dec, hex-reversed or dec-reversed"
	FormatInComment = "declares uid_format in a comment, where it would not count: write it into the heading, badge,tag,uid_format=dec"
	NoSeparator     = "names a separator that is none: write sep=; or leave the line out"
)

var (
	// quotedFormat is uid_format = "dec", as somebody writes it who knows the
	// configuration's form. Within a line of CSV these quotes would be wrong.
	quotedFormat = regexp.MustCompile(`(?i)\b(uid_format) *= *"([a-z-]*)"`)
	// separatorLine is the line with which spreadsheets are told the separator.
	separatorLine = regexp.MustCompile(`(?i)^"?sep=([^\r\n"]*)"?\r?\n?$`)
	// formatComment declares the notation where nobody looks for it.
	formatComment = regexp.MustCompile(`(?im)^[ \t]*#[# \t]*uid_format *=`)
)

// Prepare reads what a file says about itself before its first cell: that it is text,
// and the separator, by a line sep=; or by the first line that has one. That line is
// emptied, so that all lines keep their numbers.
func Prepare(data []byte) (rest []byte, comma rune, problem *Problem) {
	// Spreadsheets and Windows' Notepad begin UTF-8 files with this mark.
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, 0, &Problem{Text: NoText}
	}
	if at := formatComment.FindIndex(data); at != nil {
		line := 1 + bytes.Count(data[:at[0]], []byte("\n"))
		return nil, 0, &Problem{line, FormatInComment}
	}
	first, others := data, []byte(nil)
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		first, others = data[:i+1], data[i+1:]
	}
	if m := separatorLine.FindSubmatch(first); m != nil {
		name := string(m[1])
		if name != "," && name != ";" && name != "\t" {
			return nil, 0, &Problem{1, NoSeparator}
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

// separator is what stands between the first two fields: in a good line, the first
// character that can be in none of the forms of a card number.
func separator(data []byte) rune {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		if i := bytes.IndexAny(line, ",;\t"); i >= 0 {
			return rune(line[i])
		}
	}
	return ','
}
