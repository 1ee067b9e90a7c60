package configured

import (
	"errors"

	"presence/config"
	"presence/gatewayd/internal/roster"
	"presence/gatewayd/internal/tags"
)

// Check looks into the files that only the rooms understand. Doubts are
// what a gateway runs with, though it is probably not what was meant.
func Check(cfg *config.Config) (doubts, problems config.Problems) {
	doubts, problems = CheckFence(cfg)
	return doubts, append(problems, CheckRoster(cfg)...)
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
