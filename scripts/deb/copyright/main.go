// Command copyright prints the copyright file of a Debian package: the licences of
// all modules that are part of its binaries, which ask to be passed on with them. The
// binaries are named by their packages; without any, it is gatewayd alone.
//
// It exists because a list kept by hand is wrong after the next `go get`.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const head = "gatewayd, the presence gateway of one office.\n\n"

const works = "\nThe binaries contain the works below, each under its own licence.\n"

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "copyright: %v\n", err)
		os.Exit(1)
	}
}

// module is what the Go tool tells of one.
type module struct {
	Path, Version, Dir string
	Main               bool
}

func run(w io.Writer, programs []string) error {
	if len(programs) == 0 {
		programs = []string{"./gatewayd"}
	}
	modules, err := linked(programs)
	if err != nil {
		return err
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("ask for GOROOT: %w", err)
	}
	modules = append(modules, module{Path: "the Go standard library", Dir: strings.TrimSpace(string(goroot))})
	own, err := os.ReadFile("LICENSE")
	if err != nil {
		return fmt.Errorf("read our own licence: %w", err)
	}
	if _, err := io.WriteString(w, head+string(own)+works); err != nil {
		return err
	}
	for _, m := range modules {
		text, err := licence(m)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "\n%s\n%s %s\n\n%s", strings.Repeat("-", 79), m.Path, m.Version, text); err != nil {
			return err
		}
	}
	return nil
}

// linked are the modules that programs are made of, but for our own.
func linked(programs []string) ([]module, error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Module"}, programs...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages of %s: %w", strings.Join(programs, ", "), err)
	}
	found := make(map[string]module)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ Module *module }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read list of packages: %w", err)
		}
		if p.Module != nil && !p.Module.Main {
			found[p.Module.Path] = *p.Module
		}
	}
	all := make([]module, 0, len(found))
	for _, m := range found {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// licence is the text of the files in a module's folder that hold one.
func licence(m module) (string, error) {
	files, err := os.ReadDir(m.Dir)
	if err != nil {
		return "", fmt.Errorf("look for the licence of %s: %w", m.Path, err)
	}
	var b strings.Builder
	for _, f := range files {
		name := strings.ToUpper(f.Name())
		if f.IsDir() || !slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, f.Name()))
		if err != nil {
			return "", fmt.Errorf("read licence of %s: %w", m.Path, err)
		}
		b.Write(text)
		if !strings.HasSuffix(string(text), "\n") {
			b.WriteByte('\n')
		}
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("%s %s has no licence file in %s", m.Path, m.Version, m.Dir)
	}
	return b.String(), nil
}
