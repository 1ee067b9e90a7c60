package manual

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// head and tail surround the commands in the manual page (mdoc(7)).
const head = `.Dd $Mdocdate$
.Dt GATEWAYD 8
.Os
.Sh NAME
.Nm gatewayd
.Nd presence gateway for badges and GPS tags
.Sh SYNOPSIS
.Nm
.Op Fl -config Ar file
.Ar command
.Op Ar flags
.Sh DESCRIPTION
.Nm
records badges that are shown at an office door and GPS tags that it hears,
durably, and hands them to a city over MQTT: each once, in order, also after the
line was down for a week.
.Pp
The configuration is
.Pa /etc/gatewayd/gatewayd.toml ,
or the
.Ar file
given with
.Fl -config .
Each key is explained in it.
.Pp
The commands are:
.Bl -tag -width Ds
`

const tail = `.El
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/gatewayd/gatewayd.toml
The configuration.
.It Pa /etc/gatewayd/badge.key
This gateway's badge key.
Root and the gateway's own user may read it, and nobody else.
.It Pa /var/lib/gatewayd/journal.db
What was recorded.
.It Pa /var/lib/gatewayd/control.sock
Where the commands ask the gateway that runs.
Members of the group gatewayd may, with
.Cm status , watch , export
and
.Cm verify ;
only root and the gateway's own user may
.Cm forget ,
drive mocked hardware and make a recap
.Pq Cm export Fl -day .
.It Pa /var/lib/gatewayd/exports.log
Who called
.Cm export , watch
and
.Cm forget ,
and when.
.It Pa /var/lib/gatewayd/tls/
The gateway's key and certificate for the broker.
.It Pa /var/lib/gatewayd-rollback/
The binary before the last upgrade.
It is put back if the new one is not ready within three minutes.
.El
.Sh EXIT STATUS
0: done.
1: failed at run time.
2: wrong usage or wrong configuration.
.Sh SIGNALS
SIGTERM and SIGINT stop
.Cm run
within five seconds; a second one ends it at once.
SIGHUP has it read the configuration again, and all files that it names: where
something has changed the gateway starts over with it, and one that is wrong, or
with which no gateway could be opened, is logged and ignored.
.Sh EXAMPLES
.Dl sudo gatewayd doctor
.Dl gatewayd export --since 24h --format csv
.Dl journalctl -u gatewayd
.Sh SEE ALSO
.Xr gatewayd-provision 8 ,
.Xr systemctl 1 ,
.Xr journalctl 1
`

// Page writes the manual page (mdoc(7)) of a program with these commands.
func Page(w io.Writer, root *kong.Node) error {
	var b strings.Builder
	b.WriteString(head)
	for _, c := range root.Leaves(true) {
		fmt.Fprintf(&b, ".It Cm %s", roff(commandName(c)))
		for _, arg := range c.Positional {
			fmt.Fprintf(&b, " Ar %s", roff(arg.Name))
		}
		fmt.Fprintf(&b, "\n%s\n", roff(c.Help))
		for _, arg := range c.Positional {
			fmt.Fprintf(&b, ".Pp\n.Ar %s :\n%s\n", roff(arg.Name), roff(arg.Help))
		}
		flags := ownFlags(c)
		if len(flags) == 0 {
			continue
		}
		b.WriteString(".Bl -tag -width Ds\n")
		for _, f := range flags {
			fmt.Fprintf(&b, ".It Fl -%s", roff(f.Name))
			if !f.IsBool() {
				fmt.Fprintf(&b, " Ar %s", roff(strings.Trim(f.FormatPlaceHolder(), `"`)))
			}
			fmt.Fprintf(&b, "\n%s\n", roff(f.Help))
		}
		b.WriteString(".El\n")
	}
	b.WriteString(tail)
	_, err := io.WriteString(w, b.String())
	return err
}

// roff escapes what groff would interpret: backslashes, hyphens, which it would print
// as dashes, quotes, and a control character at the start of a line.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `"`, `\(dq`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

// commandName is a command as it is typed, without the program.
func commandName(c *kong.Node) string {
	return strings.TrimSpace(strings.TrimPrefix(c.FullPath(), "gatewayd"))
}

// ownFlags are the flags that a command has beside those that all have.
func ownFlags(c *kong.Node) (flags []*kong.Flag) {
	for _, f := range c.Flags {
		if !f.Hidden && f.Name != "help" {
			flags = append(flags, f)
		}
	}
	return flags
}
