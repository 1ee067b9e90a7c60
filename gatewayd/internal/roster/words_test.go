package roster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/presence"
)

// TestEveryProblemIsSaidInIndonesian provokes each of them.
func TestEveryProblemIsSaidInIndonesian(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"not UTF-8":        "\xff\xfe",
		"no pair":          "badge,tag\n",
		"a badge twice":    uid + ",reyax:1\n" + uid + ",reyax:2\n",
		"three columns":    uid + ",reyax:1,Sari\n",
		"no CSV":           "\"" + uid + ",reyax:1\n",
		"no badge":         "Sari,reyax:1\n",
		"no tag":           uid + ",50\n",
		"a random UID":     "08A1B2C3,reyax:1\n",
		"a very long file": strings.Repeat("#\n", maxFile),
		"missing":          "-",
		"folder":           "/",
	} {
		path := filepath.Join(dir, "roster.csv")
		_ = os.RemoveAll(path)
		switch content {
		case "-":
		case "/":
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		default:
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := ReadFile(path, hashes())
		if err == nil {
			t.Errorf("%s: no problem", name)
			continue
		}
		texts := []string{err.Error()}
		if list := Problems(nil); errors.As(err, &list) {
			texts = nil
			for _, p := range list {
				texts = append(texts, p.Text)
			}
		}
		for _, text := range texts {
			if id := Indonesian(text); id == text || strings.Contains(id, "%!") {
				t.Errorf("%s: %q is not said in Indonesian: %q", name, text, id)
			}
		}
	}
	_, err := ParseCSV([]byte("h:00112233445566778899aabbccddeeff,reyax:1\n"), presence.PlainBadges())
	var list Problems
	if !errors.As(err, &list) || len(list) != 1 || !strings.Contains(list[0].Indonesian(), "padahal gateway ini memakai UID apa adanya") {
		t.Errorf("a hash where there are none: %v", err)
	}
}
