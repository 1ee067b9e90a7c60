package language

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"
)

// Language is one of the languages that people are spoken to in, as BCP 47 calls it.
type Language string

// The languages.
const (
	English    Language = "en"
	Indonesian Language = "id"
)

// Of is the language of a user, by the environment variables that locale(7) names:
// LC_ALL, LC_MESSAGES and LANG, of which the first that is set decides. It is English
// unless the locale is Indonesian.
func Of(getenv func(string) string) Language {
	for _, key := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(key); v != "" {
			if v == "id" || strings.HasPrefix(v, "id_") || strings.HasPrefix(v, "id.") {
				return Indonesian
			}
			return English
		}
	}
	return English
}

// Text is a text in both languages.
type Text struct{ EN, ID string }

// Say makes a text of a format in each language. Both get the same arguments, in the
// same order unless a format numbers them; those that are texts themselves, or errors
// that have an Indonesian form, are inserted in the language.
func Say(en, id string, args ...any) Text {
	return Text{fmt.Sprintf(en, in(English, args)...), fmt.Sprintf(id, in(Indonesian, args)...)}
}

// in are the arguments of a format in one language.
func in(l Language, args []any) []any {
	all := make([]any, len(args))
	for i, arg := range args {
		switch a := arg.(type) {
		case Text:
			all[i] = a.In(l)
		case error:
			all[i] = Explain(a, l)
		default:
			all[i] = arg
		}
	}
	return all
}

// In is the text in one language.
func (t Text) In(l Language) string {
	if l == Indonesian {
		return t.ID
	}
	return t.EN
}

// Error is an error that people read in their own language. In logs it is English.
type Error struct {
	Text
	Cause error // nil where there is none
}

// Errorf makes an error of a format in each language, as Say does. Its cause is all of
// its arguments that are errors.
func Errorf(en, id string, args ...any) *Error {
	e := &Error{Text: Say(en, id, args...)}
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			e.Cause = join(e.Cause, cause)
		}
	}
	return e
}

// Error is the error in English.
func (e *Error) Error() string { return e.EN }

// Unwrap is the error that it is about.
func (e *Error) Unwrap() error { return e.Cause }

// join is both of two causes, of which the first may be nil.
func join(a, b error) error {
	if a == nil {
		return b
	}
	return errors.Join(a, b)
}

// Explain is an error in one language: in Indonesian, where all of its words are known in
// it, and else in English.
func Explain(err error, l Language) string {
	if l == Indonesian {
		if text, ok := explained(err); ok {
			return text
		}
	}
	return err.Error()
}

// explained is an error in Indonesian, and whether all of its words are known in it.
func explained(err error) (text string, ok bool) {
	if e := (*Error)(nil); errors.As(err, &e) && e.EN == err.Error() {
		return e.ID, true
	}
	if p := (*fs.PathError)(nil); errors.As(err, &p) && p.Error() == err.Error() {
		text, ok = explained(p.Err)
		return p.Path + ": " + text, ok
	}
	for cause, text := range systemErrors() {
		if errors.Is(err, cause) && err.Error() == cause.Error() {
			return text, true
		}
	}
	return "", false
}

// systemErrors are what the kernel and the standard library say most often, as the
// Indonesian translation of the GNU C library says it.
func systemErrors() map[error]string {
	return map[error]string{
		fs.ErrNotExist: "berkas atau folder tidak ada", fs.ErrPermission: "izin ditolak", fs.ErrExist: "berkas sudah ada",
		syscall.ENOENT: "berkas atau folder tidak ada", syscall.EACCES: "izin ditolak", syscall.EPERM: "operasi tidak diizinkan",
		syscall.EEXIST: "berkas sudah ada", syscall.EISDIR: "ini sebuah folder", syscall.ENOTDIR: "bukan sebuah folder",
		syscall.ENOSPC: "tidak ada ruang tersisa", syscall.EROFS: "sistem berkas hanya dapat dibaca",
		syscall.EIO: "galat masukan/keluaran", syscall.ECONNREFUSED: "sambungan ditolak", syscall.EBUSY: "perangkat sedang dipakai",
		context.Canceled: "dibatalkan", context.DeadlineExceeded: "waktu tunggu habis",
	}
}

// Moment is a date with the time of day as people read it in a zone, which it names:
// 2026-12-25 07:30:00 WIB.
func Moment(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}

// Lasting is a length of time in words, by its two largest units: 3 days 4 h.
func Lasting(d time.Duration, l Language) string {
	units := []struct {
		length time.Duration
		one    Text
		many   Text
	}{
		{24 * time.Hour, Text{"day", "hari"}, Text{"days", "hari"}},
		{time.Hour, Text{"h", "jam"}, Text{"h", "jam"}},
		{time.Minute, Text{"min", "menit"}, Text{"min", "menit"}},
		{time.Second, Text{"s", "detik"}, Text{"s", "detik"}},
	}
	for i, u := range units {
		if d < u.length && i < len(units)-1 {
			continue
		}
		parts := []string{counted(int64(d/u.length), u.one, u.many, l)}
		if i < len(units)-1 {
			next := units[i+1]
			if rest := d % u.length / next.length; rest > 0 {
				parts = append(parts, counted(int64(rest), next.one, next.many, l))
			}
		}
		return strings.Join(parts, " ")
	}
	return ""
}

func counted(n int64, one, many Text, l Language) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many.In(l))
}

// Decimal is a number with so many decimals, which Indonesian sets off with a comma.
func Decimal(v float64, decimals int, l Language) string {
	text := fmt.Sprintf("%.*f", decimals, v)
	if l == Indonesian {
		return strings.Replace(text, ".", ",", 1)
	}
	return text
}
