package build

import "strings"

// RollbackFile is where the package's script rollback (scripts/deb/rollback) leaves
// word that it has put an earlier version back. It is gone when a package is unpacked
// again, or another version is ready.
const RollbackFile = "/var/lib/gatewayd-rollback/rolled-back"

// Rollback says which version was taken back, since it did not get ready.
type Rollback struct {
	Bad     string // the version that was taken back, such as v1.3.0
	Back    string // the version that is back
	Package string // what dpkg has installed: it is not told of a rollback; "" where unknown
}

// RolledBack reads the rollback that stands, false where none does.
func RolledBack(read func(path string) ([]byte, error)) (Rollback, bool) {
	text, err := read(RollbackFile)
	if err != nil {
		return Rollback{}, false
	}
	lines := strings.Split(string(text), "\n")
	lines = append(lines, "", "") // earlier versions left the first one alone
	return Rollback{Bad: versionIn(lines[0]), Back: versionIn(lines[1]), Package: strings.TrimSpace(lines[2])}, true
}

// versionIn finds the version in what `gatewayd version` prints: of more it would be
// too long for an alert. What a broken version prints may be anything, or nothing.
func versionIn(line string) string {
	words := strings.Fields(line)
	if len(words) > 1 && words[0] == "gatewayd" && len(words[1]) <= 64 {
		return words[1]
	}
	return ""
}
