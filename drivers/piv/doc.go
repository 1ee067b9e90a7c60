// Package piv lets a card with the PIV application (NIST SP 800-73) prove who it is.
//
// It exists because such a card answers a challenge with a private key that never leaves
// it: a gateway needs only the certificate of the authority to tell it from a copy, and
// nothing that is worth stealing. The key is the card authentication key, 9E, which the
// standard lets a card use without contact and without a PIN (SP 800-73-5 part 1, 3.1.3).
//
// The road is: Select; GUID, by which a certificate that is known already can be looked up;
// Certificate where it is not; Authorities.Verify; Sign with a challenge that nobody could
// foresee; (*Certificate).Verify of what Sign returned. Only when the last step has
// succeeded has the card proven anything. GUID and certificate are free to read and to copy.
//
// Whatever a card sends is taken for hostile: every answer is bounded, and data that is not
// encoded exactly as the standard has it is refused.
package piv
