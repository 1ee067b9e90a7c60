package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"presence/scripts/city"
)

// seals writes the requests that gateways make for certificates of their seal keys into the
// folder, as ID.csr. Whether they may have them ca.sh decides.
func (f *fleet) seals(_ context.Context, desk *city.Desk, offices []city.Office) error {
	for _, o := range offices {
		request := desk.SealRequest(o)
		if request == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(f.folder, o.ID+".csr"), []byte(request), 0o600); err != nil {
			return fmt.Errorf("keep request of %s: %w", o.Name(), err)
		}
	}
	return nil
}
