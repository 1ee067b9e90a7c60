package doctor

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"presence/config"
	"presence/drivers/pi"
	"presence/gatewayd/internal/build"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/terminal"
	"presence/gatewayd/internal/uplink"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, but would not survive what offices do
	Fail Level = "fail"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Code names the check and never changes; Item is what was checked, where
	// there can be several: a reader, a receiver, a file.
	Code  string `json:"code"`
	Item  string `json:"item,omitempty"`
	Level Level  `json:"level"`
	ID    string `json:"id"` // what was seen, in Indonesian
	EN    string `json:"en"`
	// Mend is the command that mends it. Where none does, Look is one that shows more.
	Mend string `json:"mend,omitempty"`
	Look string `json:"look,omitempty"`
}

// Text is what was seen.
func (f Finding) Text() language.Text { return language.Text{EN: f.EN, ID: f.ID} }

// Options is what an examination needs.
type Options struct {
	Path     string          // of the configuration
	Config   *config.Config  // nil where it is wrong
	Problems config.Problems // what is wrong with it, or only with the files that it names
	Doubts   config.Problems // what is probably not meant so

	Board pi.Board
	// Self is the account that runs the doctor. Where no service is installed, the
	// gateway would run as this account too.
	Self pi.Account
	// Disk tells how much room there is, in bytes.
	Disk func(path string) (free int64, known bool)
	Now  func() presence.Reading
	// Passed is an instant that has passed whatever the clock shows: when this program
	// was built. Certificates are not judged by an earlier one.
	Passed time.Time
	// Try connects to the broker and sends a message there and back; with reach, it
	// stops after TLS.
	Try func(ctx context.Context, reach bool) uplink.Probe
	// Chip opens the chip of a reader. Nil where none may be opened.
	Chip func(config.Reader) (Chip, error)
	// Health is that of the gateway that runs here, nil where none does.
	Health *presence.Health
	// PID is the process of the gateway that runs here, 0 where it is not known.
	PID int
	// Unasked is true where a gateway may run here, but the caller may not ask it.
	Unasked bool
	// Silent is true where a gateway holds its socket here and does not answer.
	Silent bool
}

// Examine looks at everything that the configuration needs, and at what would
// make any installation fragile.
func Examine(ctx context.Context, opt Options) []Finding {
	e := &exam{Options: opt}
	e.account, e.unit = e.service()
	e.configuration()
	e.running()
	e.rolledBack()
	if e.Config != nil {
		e.readers(ctx)
		e.pins()
		e.receivers()
		e.secrets()
		e.certificates()
		e.sealKey()
	}
	e.clock()
	e.disk()
	e.power()
	e.wifi()
	if e.Config != nil {
		e.broker(ctx)
	}
	return e.findings
}

// Chip is a reader's chip, opened for the time of the examination.
type Chip interface {
	// SelfTest has the chip test itself; an error that wraps card.ErrNoReference means
	// that nothing is known to compare its result with.
	SelfTest(ctx context.Context) error
	Version() string
	Close() error
}

// exam is one examination.
type exam struct {
	Options
	account  pi.Account // that the gateway runs as
	unit     pi.Unit
	findings []Finding
}

// say is language.Say, which is called for each finding.
func say(en, id string, args ...any) language.Text { return language.Say(en, id, args...) }

// add adds a finding with the command for whoever reads it: one that mends, or one that
// only shows more.
func (e *exam) add(level Level, code, item, command string, w language.Text) {
	f := Finding{Code: code, Item: item, Level: level, EN: w.EN, ID: w.ID, Mend: command}
	if onlyShows(command) {
		f.Mend, f.Look = "", command
	}
	e.findings = append(e.findings, f)
}

func (e *exam) ok(code, item string, w language.Text)         { e.add(OK, code, item, "", w) }
func (e *exam) warn(code, item, mend string, w language.Text) { e.add(Warn, code, item, mend, w) }
func (e *exam) fail(code, item, mend string, w language.Text) { e.add(Fail, code, item, mend, w) }

// unitName is the service that the package installs, and userName who it runs
// as.
const (
	unitName = "gatewayd.service"
	userName = "gatewayd"
)

// service finds out who the gateway runs as.
func (e *exam) service() (pi.Account, pi.Unit) {
	unit := e.Board.Unit(unitName)
	if unit.User == "" {
		unit.User = userName
	}
	account, ok := e.Board.Account(unit.User)
	if !ok {
		if unit.Path != "" {
			e.fail("service", "", "sudo systemd-sysusers", say(
				"the user %q that %s names does not exist",
				"pengguna %q yang disebut %s tidak ada", unit.User, unit.Path))
		}
		if e.Unasked {
			// It runs already, so as an account that may do all it needs.
			return pi.Account{Name: "root"}, unit
		}
		return e.Self, unit
	}
	return e.Board.With(account, unit.Groups...), unit
}

func (e *exam) configuration() {
	for _, p := range e.Doubts {
		e.warn("config", p.Key, e.edit(p), language.Text{EN: p.String(), ID: p.Indonesian()})
	}
	if len(e.Problems) == 0 {
		e.ok("config", "", say(
			"%s is right: gateway %s of %s",
			"%s benar: gateway %s dari %s", e.Path, e.Config.Gateway.ID, e.Config.Gateway.Dinas))
		return
	}
	for _, p := range e.Problems {
		if e.Self.UID != 0 && strings.Contains(p.Text, "permission denied") {
			e.warn("config", p.Key, asRoot, say(
				"%s: not to be seen by user %s", "%s: tidak dapat dilihat oleh pengguna %s", p.String(), e.Self.Name))
			continue
		}
		e.fail("config", p.Key, e.edit(p), language.Text{EN: p.String(), ID: p.Indonesian()})
	}
}

// edit is the command that opens the file with a problem: the configuration, or
// one that it names.
func (e *exam) edit(p config.Problem) string {
	if filepath.IsAbs(p.File) {
		return "sudoedit " + quote(p.File)
	}
	return "sudoedit " + quote(e.Path)
}

// running tells whether the gateway runs. That it does not is no failure: a technician
// runs the doctor before its first start.
func (e *exam) running() {
	if e.Unasked {
		e.warn("running", "", asRoot, say(
			"a gateway runs here, but user %s may not ask it", "ada gateway yang berjalan, tetapi pengguna %s tidak boleh bertanya kepadanya", e.Self.Name))
		return
	}
	if e.Silent {
		e.fail("running", "", "sudo systemctl restart gatewayd", say(
			"a gateway holds its socket and does not answer: it hangs, or is still starting",
			"ada gateway yang memegang soketnya tetapi tidak menjawab: macet, atau masih memulai"))
		return
	}
	if e.Health == nil {
		mend := "sudo systemctl enable --now gatewayd"
		if e.unit.Path == "" {
			mend = "gatewayd run"
		}
		e.warn("running", "", mend, say("gatewayd does not run", "gatewayd tidak berjalan"))
		return
	}
	is := terminal.GatewayLevel(e.Health.Level)
	if e.Health.Level != presence.LevelOK {
		is = say("%s: gatewayd status", "%s: gatewayd status", is)
	}
	up := time.Duration(e.Health.UptimeS) * time.Second
	e.ok("running", "", say("gatewayd runs for %s; %s", "gatewayd berjalan selama %s; %s",
		language.Text{EN: language.Lasting(up, language.English), ID: language.Lasting(up, language.Indonesian)}, is))
}

// rolledBack tells of a version that did not get ready, for which the one before it
// runs. dpkg does not know.
func (e *exam) rolledBack() {
	r, ok := build.RolledBack(e.Board.ReadFile)
	if !ok {
		return
	}
	mend := "sudo bash install.sh"
	if r.Package == "" {
		e.warn("rolled-back", "", mend, say(
			"%s did not get ready and was rolled back, %s is back; see journalctl -u gatewayd; install a version that works",
			"%s tidak siap dan dibatalkan, %s dipakai lagi; lihat journalctl -u gatewayd; pasang versi yang berfungsi",
			orUnknown(r.Bad), orUnknown(r.Back)))
		return
	}
	e.warn("rolled-back", "", mend, say(
		"%s did not get ready and was rolled back: %s is back, though dpkg -l says %s; see journalctl -u gatewayd; install a version that works",
		"%s tidak siap dan dibatalkan: %s dipakai lagi, meskipun dpkg -l menyebut %s; lihat journalctl -u gatewayd; pasang versi yang berfungsi",
		orUnknown(r.Bad), orUnknown(r.Back), r.Package))
}

// orUnknown stands for a version that nobody knows.
func orUnknown(version string) string {
	if version == "" {
		return "?"
	}
	return version
}

// asRoot is the command for a caller that may not see everything.
const asRoot = "sudo gatewayd doctor"

// quote makes a path safe for a shell, and leaves it alone where it is.
func quote(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:,+@=", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// restart makes the service take up what changed.
const restart = " && sudo systemctl restart gatewayd"
