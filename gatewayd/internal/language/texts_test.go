package language_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryTextIsThereInBothLanguages: each pair of formats in the gateway's source, of
// Say and Errorf and of their like, has words in both languages and asks for the same
// arguments. Numbered ones may change places.
func TestEveryTextIsThereInBothLanguages(t *testing.T) {
	speakers := []string{"Say", "Errorf", "say", "line", "damage"}
	pairs := 0
	files := token.NewFileSet()
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 || !slices.Contains(speakers, called(call)) {
				return true
			}
			en, isText := literal(call.Args[0])
			id, isPair := literal(call.Args[1])
			if !isText || !isPair {
				return true
			}
			pairs++
			if id == "" || !slices.Equal(verbs(en), verbs(id)) {
				t.Errorf("%s: %q and %q", files.Position(call.Pos()), en, id)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pairs < 200 {
		t.Errorf("only %d pairs of texts were found", pairs)
	}
}

// called is the name of the function that is called, of packages other than fmt, errors
// and log/slog.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if of, ok := f.X.(*ast.Ident); ok && of.Name == "fmt" {
			return ""
		}
		return f.Sel.Name
	}
	return ""
}

// literal is the value of a text, which may be a sum of several.
func literal(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, ok := literal(e.X)
		right, too := literal(e.Y)
		return left + right, ok && too
	}
	return "", false
}

// verbs are the arguments that a format asks for, in the order of the arguments.
func verbs(format string) []string {
	all := regexp.MustCompile(`%[-+# 0-9.\[\]]*[a-zA-Z]`).FindAllString(strings.ReplaceAll(format, "%%", ""), -1)
	if strings.Contains(format, "%[") {
		slices.Sort(all)
	}
	return all
}
