package city_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built are the programs of the city and gatewayd, which the first test that needs one
// builds. Their folder goes with the last test.
var built = sync.OnceValues(func() (dir string, err error) {
	cmd := exec.Command("go", "build", "-trimpath", "-o", programsDir()+"/", "./ask", "./audit", "./badgedocs", "./badges", "./prove", "../../gatewayd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return programsDir(), nil
})

func programsDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("gatewayd-city-test-%d", os.Getpid()))
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(programsDir())
	os.Exit(code)
}

// program is the path of one of the programs.
func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}
