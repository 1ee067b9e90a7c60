package doctor

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"presence/drivers/pi"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/sealkey"
)

// sealKey looks at the key with which the gateway seals its journal.
func (e *exam) sealKey() {
	const code = "seal-key"
	opt := configured.SealFiles(e.Config)
	file := opt.KeyFile
	_, there := e.Board.File(file)
	if file == "" || opt.MayLack && errors.Is(there, fs.ErrNotExist) {
		e.ok(code, "", say("there is no seal key (seal.key_file): what is recorded is not sealed",
			"tidak ada kunci segel (seal.key_file): data yang dicatat tidak disegel"))
		return
	}
	inRoot := func(path string) string {
		if path == "" {
			return ""
		}
		return filepath.Join(e.Board.Root, path)
	}
	opt.KeyFile, opt.CertFile, opt.CAFile = inRoot(file), inRoot(opt.CertFile), inRoot(opt.CAFile)
	files := sealkey.Read(opt)
	anew := "sudo gatewayd-provision seal-key"
	if !e.Board.HasTool("gatewayd-provision") {
		anew = "sudo ls -l " + quote(file)
	}
	f, err := e.Board.File(file)
	switch p := files.Check(e.certainTime()); {
	case p != nil && p.Fault == sealkey.Exposed:
		e.fail(code, file, "sudo chmod 600 "+quote(file), configured.SealAdvice(e.outside(p)))
	case p != nil && p.Unusable() && err == nil && e.Self.UID != 0 && !f.Allows(e.Self, pi.Read):
		e.warn(code, file, asRoot, say("user %s may not read %s", "pengguna %s tidak boleh membaca %s", e.Self.Name, file))
	case p != nil && p.Unusable():
		e.fail(code, file, anew, configured.SealAdvice(e.outside(p)))
	case err == nil && !f.Allows(e.account, pi.Read):
		e.fail(code, file, "sudo chown "+e.account.Name+": "+quote(file), say(
			"user %s may not read %s (mode %04o), so nothing is sealed",
			"pengguna %s tidak boleh membaca %s (mode %04o), jadi tidak ada yang disegel", e.account.Name, file, f.Mode))
	case p != nil:
		e.warn(code, e.outside(p).File, anew, configured.SealAdvice(e.outside(p)))
	default:
		e.ok(code, file, say("the journal is sealed by the key %s, which the city has certified",
			"jurnal disegel dengan kunci %s, yang telah disertifikasi kota", files.Key().KeyID()))
	}
}

// certainTime is the instant against which the end of a certificate is held.
func (e *exam) certainTime() time.Time {
	if now := e.Now(); now.Known() {
		return now.WallTime()
	}
	return e.Passed
}

// outside is a problem with the file's name as the configuration has it.
func (e *exam) outside(p *sealkey.Problem) *sealkey.Problem {
	named := *p
	if file, err := filepath.Rel(e.Board.Root, p.File); err == nil {
		named.File = "/" + file
	}
	return &named
}
