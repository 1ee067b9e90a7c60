package control

import (
	"net/http"
	"net/url"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/sim"
)

// headerIndonesian is the header, or trailer, with which an error comes in Indonesian
// as well, escaped as in a URL. The daemon does not know who reads its answer, and curl
// shows the body, which is English.
const headerIndonesian = "Gatewayd-Error-Id"

// refuse answers with an error, in both languages.
func refuse(w http.ResponseWriter, err error, code int) {
	w.Header().Set(headerIndonesian, url.QueryEscape(language.Explain(err, language.Indonesian)))
	http.Error(w, err.Error(), code)
}

// endWith ends an answer that went on with an error, in both languages.
func endWith(w http.ResponseWriter, err error) {
	w.Header().Set(trailerError, err.Error())
	w.Header().Set(headerIndonesian, url.QueryEscape(language.Explain(err, language.Indonesian)))
}

// simError is the last line of a tap that ended early.
func simError(err error) sim.Line {
	return sim.Line{Error: err.Error(), ErrorID: language.Explain(err, language.Indonesian)}
}

// said is an error that the daemon answered; one of an earlier version has it in English
// only.
func said(en string, h http.Header) language.Text {
	id, err := url.QueryUnescape(h.Get(headerIndonesian))
	if err != nil || id == "" {
		id = en
	}
	return language.Text{EN: en, ID: id}
}
