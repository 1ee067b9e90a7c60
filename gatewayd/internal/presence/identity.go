package presence

// Identity is who a card is, and how far that has been proven at this tap.
type Identity struct {
	// Bytes are what the badge's identity is made from (Badges.Identity): what was
	// proven, such as the GUID of a certificate whose key has answered or the UID read
	// under authentication; else the UID of the anticollision.
	Bytes []byte

	// Assurance is the event's field: "authenticated-piv", "authenticated-desfire",
	// "uid" or "random-uid".
	Assurance string

	// Claims are further identities, as Bytes, that the card claims without proof: who
	// is enrolled as authenticating under one of them must not be taken for a plain badge.
	Claims [][]byte

	// Proof is what an authentication by signature leaves for later; nil else.
	Proof *Proof

	// Refuse is why the card must not be let through, whatever is enrolled: a reason of
	// an Answer; "" where nothing speaks against it.
	Refuse string

	// Detail says in one word what went wrong with the authentication: "foreign-ca",
	// "expired", "signature", "mac", ...; "" where nothing did.
	Detail string
}

// The words of Identity.Detail that the door decides by. All others name a proof that failed,
// and are whoever's who tried it.
const (
	DetailAbsent   = "absent"   // the card has nothing to prove itself with
	DetailNoATS    = "no-ats"   // it says that it speaks ISO/IEC 14443-4, and never began to
	DetailProtocol = "protocol" // it answers what ISO/IEC 14443-4 does not know
	DetailPending  = "pending"  // its key was asked and the answer was lost: another try might count as a second failure
)

// Proof is what a tap with a PIV card leaves as evidence: with the card's certificate
// anybody can check later that the card's key signed
// SHA-256(Random || gateway || stream || boot_ms) at this tap. The gateway's id is UTF-8,
// the stream its 16 bytes, boot_ms the event's own as 8 bytes, most significant first.
type Proof struct {
	Random      [16]byte `cbor:"1,keyasint"`
	Signature   []byte   `cbor:"2,keyasint"` // ECDSA, ASN.1 DER as the card gave it
	Certificate [32]byte `cbor:"3,keyasint"` // SHA-256 of the certificate's DER
}
