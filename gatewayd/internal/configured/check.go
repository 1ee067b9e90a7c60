package configured

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"presence/config"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/roster"
	"presence/gatewayd/internal/tags"
)

// Check looks into the files that only the rooms understand. Doubts are
// what a gateway runs with, though it is probably not what was meant.
func Check(cfg *config.Config) (doubts, problems config.Problems) {
	doubts, problems = CheckFence(cfg)
	uncertified, wrongKey := CheckSealKey(cfg)
	return append(doubts, uncertified...), slices.Concat(problems, CheckRoster(cfg), CheckBadgeCA(cfg), wrongKey, CheckJournal(cfg))
}

// CheckJournal finds out whether the journal holds the events of another gateway than
// the configuration names. What that one recorded must not go out under another name, to
// another office perhaps.
func CheckJournal(cfg *config.Config) config.Problems {
	path, is := JournalPath(cfg), Origin(cfg)
	holds := journal.OriginAt(path)
	if holds.Gateway == "" || holds.Gateway == is.Gateway && holds.Dinas == is.Dinas {
		return nil
	}
	return config.Problems{{
		File: path,
		Text: fmt.Sprintf("it holds the events of %s/%s, and gateway.id and gateway.dinas say %s/%s: put those back, and give the gateway its new name with gatewayd-provision rename, which puts the old journal aside",
			holds.Dinas, holds.Gateway, is.Dinas, is.Gateway),
		ID: fmt.Sprintf("memuat data %s/%s, sedangkan gateway.id dan gateway.dinas menyebut %s/%s: kembalikan keduanya, lalu ganti nama gateway dengan gatewayd-provision rename, yang menyisihkan jurnal lama",
			holds.Dinas, holds.Gateway, is.Dinas, is.Gateway),
	}}
}

// CheckFence makes the fence as the daemon would.
func CheckFence(cfg *config.Config) (doubts, problems config.Problems) {
	if cfg.Office == nil {
		return nil, nil
	}
	file := cfg.Office.FenceFile
	if file == "" {
		file = "[office]"
	}
	problem := func(err error) config.Problems {
		if w := (*tags.FenceError)(nil); errors.As(err, &w) {
			return config.Problems{{File: file, Text: w.EN, ID: w.ID}}
		}
		return config.Problems{{File: file, Text: err.Error()}}
	}
	fence, err := Fence(cfg.Office)
	if err != nil {
		return nil, problem(err)
	}
	if d := fence.Doubt(); d != nil {
		return problem(d), nil
	}
	return nil, nil
}

// CheckRoster reads the roster file as the daemon would.
func CheckRoster(cfg *config.Config) (problems config.Problems) {
	file := cfg.Tags.RosterFile
	if file == "" {
		return nil
	}
	_, err := roster.ReadFile(file, Badges(cfg))
	return rosterProblems(file, err)
}

// SignedRoster reads a roster as the gateways will that it is signed for, and returns
// its entries as JSON, and how many they are. key is the badge key of the one gateway,
// nil for none.
func SignedRoster(file string, key *[32]byte) (entries []byte, n int, problems config.Problems) {
	pairs, err := roster.ReadEntries(file, key)
	if err != nil {
		return nil, 0, rosterProblems(file, err)
	}
	entries, err = json.Marshal(pairs)
	if err != nil {
		return nil, 0, config.Problems{{File: file, Text: err.Error()}}
	}
	return entries, len(pairs), nil
}

// CheckSignedHours reads working hours as the gateways will that they are signed for.
func CheckSignedHours(file string, text []byte) config.Problems {
	_, err := config.ParseHours(file, text)
	var wrong config.Problems
	if err != nil && !errors.As(err, &wrong) {
		return config.Problems{{File: file, Text: err.Error()}}
	}
	return wrong
}

func rosterProblems(file string, err error) (problems config.Problems) {
	var wrong roster.Problems
	if !errors.As(err, &wrong) {
		if err != nil {
			return config.Problems{{File: file, Text: err.Error(), ID: roster.Indonesian(err.Error())}}
		}
		return nil
	}
	for _, p := range wrong {
		problems = append(problems, config.Problem{File: file, Line: p.Line, Text: p.Text, ID: p.Indonesian()})
	}
	return problems
}
