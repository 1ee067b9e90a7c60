package kittest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"presence/scripts/deb/debtest"
)

// delivery is what the city gets: the package of its machine, and the folder with what
// that installs in /usr/lib/gatewayd-city.
type delivery struct{ deb, lib string }

// delivered is made by the first test that needs it, and goes with the last one: to build
// the city's programs takes longer than most of these tests.
var delivered = sync.OnceValues(func() (delivery, error) {
	deb, lib, err := debtest.MakeCity(tree, "1.0.0", deliveryDir())
	return delivery{deb, lib}, err
})

func deliveryDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("gatewayd-kittest-%d", os.Getpid()))
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(deliveryDir()) // not there if no test needed it
	os.Exit(code)
}

// theDelivery is what the city gets. With -short the test is skipped.
func theDelivery(t testing.TB) delivery {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a package")
	}
	if debtest.Arch() == "" {
		t.Skip("no package is made for this machine's processor")
	}
	d, err := delivered()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// program is the path of one of the city's programs, or of gatewayd.
func program(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(theDelivery(t).lib, name)
}
