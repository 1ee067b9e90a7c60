package childtest

import (
	"bytes"
	"sync"
)

// Log collects what programs print, several of them or one after another, while the test
// may read it. Its zero value is ready for use as a command's Stdout and Stderr.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is what was printed so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Bytes is a copy of what was printed so far.
func (l *Log) Bytes() []byte { return []byte(l.String()) }
