package config

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryProblemIsSaidInIndonesian reads the formats out of the source: each
// has an Indonesian form that takes the same arguments.
func TestEveryProblemIsSaidInIndonesian(t *testing.T) {
	formats := sourceFormats(t)
	if len(formats) < 80 {
		t.Fatalf("found only %d formats", len(formats))
	}
	verbs := regexp.MustCompile(`%(\[\d\])?[a-z]`)
	for format := range formats {
		words := strings.TrimSpace(verbs.ReplaceAllString(format, ""))
		id := indonesian(format)
		if id == format && strings.ContainsFunc(words, func(r rune) bool { return r >= 'a' && r <= 'z' }) {
			t.Errorf("not said in Indonesian: %q", format)
		}
		if want, got := verbs.FindAllString(format, -1), verbs.FindAllString(id, -1); !slices.Equal(want, got) {
			t.Errorf("%q takes %q, in Indonesian %q", format, want, got)
		}
	}
}

// sourceFormats are the texts that this package's code passes to say, problem and
// report.
func sourceFormats(t *testing.T) map[string]bool {
	t.Helper()
	formats := make(map[string]bool)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if text, ok := formatOf(call); ok {
					formats[text] = true
				}
			}
			return true
		})
	}
	return formats
}

// formatOf is the format that a call passes to say, problem or report.
func formatOf(call *ast.CallExpr) (string, bool) {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	i, ok := map[string]int{"say": 0, "problem": 1, "report": 2}[name]
	if !ok || i >= len(call.Args) {
		return "", false
	}
	l, ok := call.Args[i].(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}

// TestBrokersAreCheckedInIndonesian: their texts are made of parts.
func TestBrokersAreCheckedInIndonesian(t *testing.T) {
	for _, url := range []string{"localhost", "mqtts://b", "mqtt://b", "http://b", "https://b", "ws://b", "wss://b/?x", "tls://u:p@b", "tls://b/x", "tls://b:0", "tls://2001:db8::1", "tls://[x]", "tls://300.1.1.1"} {
		_, err := Parse("g.toml", []byte(strings.Replace(base, "tcp://localhost", url, 1)))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || problems[0].ID == problems[0].Text || strings.Contains(problems[0].ID, "write") || strings.Contains(problems[0].ID, "such as") || problems[0].ID == "" {
			t.Errorf("%s: %+v", url, err)
		}
	}
}

// TestPartsOfAProblemAreInOneLanguage: what goes into a sentence is in the
// sentence's language too.
func TestPartsOfAProblemAreInOneLanguage(t *testing.T) {
	path := t.TempDir() + "/g.toml"
	write(t, path, strings.NewReplacer(
		`name = "door"`, "name = \"door\"\nspeed_hz = \"fast\"\npol = 3",
		"plain_uid = true", "key_file = \"nowhere\"\nrepeat_window = 5",
		`protocol = "kenwood"`, `protocol = "kenwod"`,
		`bus = "sim"`, `bus = "/"`,
	).Replace(base))
	_, err := Check(path)
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var all []string
	for _, p := range problems {
		all = append(all, p.Indonesian())
	}
	got := strings.Join(all, "\n")
	var protocolNames []string
	for _, p := range protocols() {
		protocolNames = append(protocolNames, p.name)
	}
	for _, want := range []string{
		"6: reader.speed_hz: adalah teks: tulis bilangan bulat dari 10000 sampai 10000000, tanpa tanda kutip",
		"reader.pol: tidak dikenal: maksud Anda reader.poll?",
		`reader.bus: "/" adalah folder: tulis jalur dari perangkat SPI, misalnya /dev/spidev0.0`,
		`receiver.protocol: "kenwod" bukan salah satu dari ` + strings.Join(protocolNames, ", ") + `; maksud Anda "kenwood"?`,
		"badges.key_file: ",
		"tidak dapat dibaca (berkas atau folder tidak ada): letakkan berkas di sana, atau perbaiki jalurnya",
		`badges.repeat_window: adalah bilangan bulat 5: tulis lama waktu di antara tanda kutip, misalnya "30s"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
