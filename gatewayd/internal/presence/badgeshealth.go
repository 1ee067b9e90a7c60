package presence

// BadgesHealth says how far badges are made to prove who they are, and what came of it
// since the process began.
type BadgesHealth struct {
	Require string `json:"require"` // badges.require: "uid" or "authenticated"

	AuthenticatedPIV     int64 `json:"authenticated_piv"`     // accepted taps whose card has signed
	AuthenticatedDESFire int64 `json:"authenticated_desfire"` // accepted taps whose card has shown its symmetric key

	// Refused counts taps by the reason of their Answer, but for those that the journal
	// did not take; Failed counts attempts at a proof that failed, by Identity.Detail.
	Refused map[string]int64 `json:"refused"`
	Failed  map[string]int64 `json:"failed"`

	CA      *BadgeCAHealth       `json:"ca,omitempty"`      // nil: badges.ca_file is not set
	Revoked *BadgeDocumentHealth `json:"revoked,omitempty"` // nil: no list of lost badges came yet
	Keys    *BadgeDocumentHealth `json:"keys,omitempty"`    // nil: no keys of badges came yet
}

// BadgeCAHealth says what is in badges.ca_file.
type BadgeCAHealth struct {
	Certificates int `json:"certificates"` // 0: the file cannot be used
	// Expires is when the first of them ends (RFC 3339), "" while there is none.
	Expires string `json:"expires"`
}

// BadgeDocumentHealth says which document of the city about badges is in force.
type BadgeDocumentHealth struct {
	Serial  uint64 `json:"serial"`
	AgeS    *int64 `json:"age_s"` // since the city signed it; null while the time is unknown
	Entries int    `json:"entries"`
	Refused int64  `json:"refused"` // documents that were not the city's, or not for this gateway
}
