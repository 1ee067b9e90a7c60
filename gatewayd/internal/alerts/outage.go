package alerts

import "strings"

// Failure is a way in which the gateway can fail to do its work: a kind of line
// on the evidence sheet. Those with <name> in them are about one of several
// readers, receivers or tasks. They are on disk and never change their meaning.
type Failure string

// Outage is a failure of one thing.
type Outage struct {
	Failure Failure `cbor:"1,keyasint"`
	// Name of the reader or receiver, "" where there is only one.
	Name string `cbor:"2,keyasint,omitempty"`
}

// Code is the outage in one word: that of the alert which told of it, where
// there was one.
func (o Outage) Code() string {
	return strings.ReplaceAll(string(o.Failure), family, word(o.Name))
}

// Texts says in Indonesian and English what did not work. Of a failure that
// this version does not know it says the code.
func (o Outage) Texts() (id, en string) {
	for _, f := range failures() {
		if f.failure == o.Failure {
			return fill(f.id, o.Name, nil), fill(f.en, o.Name, nil)
		}
	}
	return o.Code(), o.Code()
}

// Failures are all kinds of failures.
func Failures() []Failure {
	var all []Failure
	for _, f := range failures() {
		all = append(all, f.failure)
	}
	return all
}
