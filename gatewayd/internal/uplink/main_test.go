package uplink_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more tests run side by side than there are processors: most of them wait
// for a broker, or for time to pass.
func TestMain(m *testing.M) {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		if err := p.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// long reports whether the tests that have a short and a long form are to run in the
// long one: make torture.
func long() bool { return os.Getenv("UPLINK_LONG") != "" }
