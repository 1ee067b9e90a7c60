package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// patience is after how many milliseconds PostgreSQL ends a session of a recorder that has
// stopped speaking. It bounds how long a frozen recorder keeps others waiting.
const patience = "3000"

const (
	connectWait = 10 * time.Second
	closeWait   = time.Second
	// userTimeout is for how long a host may leave unacknowledged what was sent to it.
	userTimeout = 10 * time.Second
)

// Config is where the database is.
type Config struct {
	// Connection is a connection string of libpq or a URL.
	Connection string
	// Password returns the password; nil: there is none but what Connection or the
	// environment says.
	Password func() (string, error)
}

// Parse checks the connection string.
func (c *Config) Parse() error {
	_, err := c.parse()
	return err
}

func (c *Config) parse() (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(c.Connection)
	if err != nil {
		// It may quote the password.
		return nil, errors.New("not as libpq wants it, such as \"host=/var/run/postgresql dbname=presence user=recorder\"")
	}
	return config, nil
}

// connect opens a session with settings of its own.
func (c *Config) connect(ctx context.Context, settings map[string]string) (*pgx.Conn, error) {
	config, err := c.parse()
	if err != nil {
		return nil, err
	}
	if c.Password != nil {
		if config.Password, err = c.Password(); err != nil {
			return nil, err
		}
	}
	config.ConnectTimeout = connectWait
	config.DialFunc = dial
	maps.Copy(config.RuntimeParams, settings)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %s", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return conn, nil
}

// dial notices within seconds when the database's host is gone.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control: func(network, _ string, raw syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
			})
			return errors.Join(err, failed)
		},
	}
	return d.DialContext(ctx, network, address)
}

// closeConn says goodbye, to a database that may hang.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	_ = conn.Close(ctx)
}
