// Package language says in which language people are spoken to, and holds what both
// languages share: texts in both, dates and lengths of time.
//
// It exists so that the language is chosen in one way by every command: by the user's
// locale, Indonesian or English. What programs read (JSON, topics, logs) does not depend
// on it.
package language
