package uplink

import (
	"context"
	"net"
)

// DialBy replaces how the uplink reaches its broker.
func (u *Uplink) DialBy(dial func(context.Context) (net.Conn, error)) { u.dial = dial }
