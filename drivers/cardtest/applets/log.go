package applets

import (
	"slices"
	"sync"
)

// logged is how many exchanges a Log keeps.
const logged = 256

// Exchange is a command APDU and the card's answer.
type Exchange struct {
	Command, Answer []byte
}

// Log is what a card has done, for tests that must know. It may be read while the card
// is in use. It is not lost with the power.
type Log struct {
	mu       sync.Mutex
	commands int
	last     []Exchange
	signed   map[string]bool
	rndA     map[[16]byte]*Authentication
	repeats  int
}

// Authentication is how far the card went along with an AuthenticateEV2First or NonFirst.
type Authentication struct {
	KeyNo byte
	First bool
	// Answered says that the reader had the key, and that the card has answered with
	// the RndA' that its own key makes.
	Answered bool
	// UIDRead counts the GetCardUID that were answered with the MAC of this session.
	UIDRead int
}

func (l *Log) exchanged(command, answer []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands++
	if len(l.last) == logged {
		l.last = slices.Delete(l.last, 0, 1)
	}
	l.last = append(l.last, Exchange{slices.Clone(command), slices.Clone(answer)})
}

func (l *Log) noteSigned(challenge []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.signed == nil {
		l.signed = make(map[string]bool)
	}
	l.signed[string(challenge)] = true
}

// saw notes the RndA of a reader.
func (l *Log) saw(rndA [16]byte, keyNo byte, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rndA == nil {
		l.rndA = make(map[[16]byte]*Authentication)
	}
	if l.rndA[rndA] != nil {
		l.repeats++
		return
	}
	l.rndA[rndA] = &Authentication{KeyNo: keyNo, First: first}
}

func (l *Log) answered(rndA [16]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rndA[rndA].Answered = true
}

func (l *Log) uidRead(rndA [16]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rndA[rndA].UIDRead++
}

// Commands is how many command APDUs the card has answered.
func (l *Log) Commands() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commands
}

// Last are the exchanges until now, oldest first, at most the last 256.
func (l *Log) Last() []Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.last)
}

// Signed reports whether the key of the card's certificate has signed this very
// challenge, and the signature has left the card undamaged. A signature by another key,
// or over another challenge, is none.
func (l *Log) Signed(challenge []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.signed[string(challenge)]
}

// Signatures is how many different challenges were signed; see Signed.
func (l *Log) Signatures() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.signed)
}

// Authentication tells what became of the authentication in which the reader sent this
// RndA; false where the card has not seen it, or could not decrypt it into this.
func (l *Log) Authentication(rndA [16]byte) (Authentication, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.rndA[rndA]
	if a == nil {
		return Authentication{}, false
	}
	return *a, true
}

// Authentications is how many authentications the card's key has answered.
func (l *Log) Authentications() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.rndA {
		if a.Answered {
			n++
		}
	}
	return n
}

// Repeats is how often a reader has used an RndA that it had used before: it must be
// drawn anew each time, or recorded sessions can be played back.
func (l *Log) Repeats() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repeats
}
