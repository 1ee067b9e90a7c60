package build_test

import (
	"io/fs"
	"testing"

	"presence/gatewayd/internal/build"
)

func TestRolledBack(t *testing.T) {
	for text, want := range map[string]build.Rollback{
		"gatewayd v1.3.0 commit 12 go1 linux/arm64\ngatewayd v1.2.0 commit 11 go1 linux/arm64\n1.3.0\n00ff\n": {Bad: "v1.3.0", Back: "v1.2.0", Package: "1.3.0"},
		"gatewayd v1.3.0 commit 12 go1 linux/arm64\n":                                                         {Bad: "v1.3.0"}, // of an earlier version
		"unknown version\ngatewayd v1.2.0\n\nff\n":                                                            {Back: "v1.2.0"},
		"": {},
	} {
		got, told := build.RolledBack(func(path string) ([]byte, error) {
			if path != build.RollbackFile {
				t.Errorf("it reads %s", path)
			}
			return []byte(text), nil
		})
		if !told || got != want {
			t.Errorf("%q: %+v %v, want %+v", text, got, told, want)
		}
	}
	if _, told := build.RolledBack(func(string) ([]byte, error) { return nil, fs.ErrNotExist }); told {
		t.Error("a rollback out of nothing")
	}
}
