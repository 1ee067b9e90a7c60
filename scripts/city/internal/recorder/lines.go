package recorder

import (
	"sync"

	"presence/scripts/city/internal/intake"
)

// lines are the brokers that are connected.
type lines struct {
	mu  sync.Mutex
	all []*intake.Publish
}

// add adds one, until the function that it returns is called.
func (l *lines) add(publish intake.Publish) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, &publish)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, p := range l.all {
			if p == &publish {
				l.all = append(l.all[:i:i], l.all[i+1:]...)
				return
			}
		}
	}
}

// publish publishes at all of them, and reports whether there was one.
func (l *lines) publish(topic string, payload []byte) bool {
	l.mu.Lock()
	all := l.all[:len(l.all):len(l.all)]
	l.mu.Unlock()
	for _, p := range all {
		(*p)(topic, payload)
	}
	return len(all) > 0
}
