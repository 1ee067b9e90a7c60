package signed

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"presence/gatewayd/internal/presence"
)

// City checks short statements of the city, such as receipts, of which there are too
// many for each to be a document.
//
// The city signs the UTF-8 text of the statement's name, the department, the
// gateway and the statement's fields, joined by line feeds, without one at the
// end. The signature travels beside the fields as "sig", in base64.
type City struct {
	Key            ed25519.PublicKey
	Dinas, Gateway string
}

// Receipt tells why a receipt does not count, nil if the city signed it. Its
// fields are the stream, upto in decimal, the link if there is one, and if there are
// corrections the word "revised" and each as seq:rev in decimal, with spaces between them.
func (c City) Receipt(r presence.Receipt) error {
	said := []string{r.Stream.String(), strconv.FormatUint(r.Upto, 10)}
	if !r.Link.IsZero() {
		said = append(said, r.Link.String())
	}
	if len(r.Revised) > 0 {
		all := "revised"
		for _, c := range r.Revised {
			all += fmt.Sprintf(" %d:%d", c.Seq, c.Rev)
		}
		said = append(said, all)
	}
	return c.verify(r.Sig, "gatewayd receipt v1", said...)
}

// Time tells why a time does not count, nil if the city signed it. Its fields are
// tx, which the gateway made up for this question alone, and utc as it is printed.
func (c City) Time(r presence.TimeReply) error {
	return c.verify(r.Sig, "gatewayd time v1", r.TX, r.UTC)
}

// The ways in which a statement does not count.
var (
	errUnsigned = errors.New("is not signed")
	errForged   = errors.New("is not signed by the city's key, or was changed afterwards")
)

func (c City) verify(sig, name string, fields ...string) error {
	if sig == "" {
		return errUnsigned
	}
	for _, f := range fields {
		if strings.Contains(f, "\n") {
			return errForged // it could stand for another statement
		}
	}
	text := strings.Join(append([]string{name, c.Dinas, c.Gateway}, fields...), "\n")
	signature, err := base64.StdEncoding.DecodeString(sig)
	if err != nil || len(c.Key) != ed25519.PublicKeySize || !ed25519.Verify(c.Key, []byte(text), signature) {
		return errForged
	}
	return nil
}
