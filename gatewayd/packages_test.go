package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// shortestComment is how long a package comment is at least that says what its
// package is for, in characters.
const shortestComment = 80

// TestEveryPackageSaysWhyItExists in a package comment, so that a newcomer sees at
// once what belongs there.
func TestEveryPackageSaysWhyItExists(t *testing.T) {
	comments := make(map[string]string) // of the packages, by their folder and name
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && (entry.Name() == "testdata" || entry.Name()[0] == '.' || entry.Name()[0] == '_'):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		// Tests in a package of their own belong to the package beside them, if there
		// is one.
		name := filepath.Dir(path) + " (package " + strings.TrimSuffix(file.Name.Name, "_test") + ")"
		if !strings.HasSuffix(path, "_test.go") && file.Doc != nil && comments[name] != "" {
			t.Errorf("%s has two package comments, one of them in %s", name, path)
		}
		if comments[name] == "" {
			comments[name] = packageComment(file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(comments) < 40 {
		t.Errorf("only %d packages were found", len(comments))
	}
	for name, text := range comments {
		if len(text) < shortestComment || !strings.HasPrefix(text, "Package ") && !strings.HasPrefix(text, "Command ") {
			t.Errorf("%s: its package comment is %q; say why the package exists", name, text)
		}
	}
}

// TestEveryPackageHasItsRoom: HOUSE.md's table of rooms has each package of the gateway
// and of the hardware.
func TestEveryPackageHasItsRoom(t *testing.T) {
	_, table, _ := strings.Cut(debtest.Read(t, "HOUSE.md"), "\n| Layer |")
	table, _, _ = strings.Cut(table, "\n\n")
	var rooms []string
	for row := range strings.Lines(table) {
		if cells := strings.Split(row, "|"); len(cells) > 2 { // the second cell, since the lines of the table begin with "|"
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1) {
				rooms = append(rooms, m[1], "internal/"+m[1])
			}
		}
	}
	for _, root := range []string{"internal", "../drivers"} {
		err := filepath.WalkDir(root, func(dir string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return err
			}
			files, err := filepath.Glob(filepath.Join(dir, "*.go"))
			name := strings.TrimPrefix(filepath.ToSlash(dir), "../")
			if len(files) > 0 && !slices.ContainsFunc(rooms, func(room string) bool { ok, _ := path.Match(room, name); return ok }) {
				t.Errorf("the table of rooms in gatewayd/HOUSE.md lacks %s", name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// packageComment is the text of a file's package comment, in one line.
func packageComment(file *ast.File) string {
	return strings.Join(strings.Fields(file.Doc.Text()), " ")
}
