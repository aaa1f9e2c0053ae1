// Package token turns what a viewer presents into Claims: signed JWTs, signed prefixes of our own, and the session tokens
// that are minted after one of those was accepted.
//
// A Verifier answers for one request; Cached keeps what was verified and checks time and path again on every use. Pick
// picks the one credential that a request may carry, among tokens that are told apart by their form and what a Finder found. Signed
// URLs of others are in the package signedurl. No function here reads a clock, opens a file or calls out: the instant
// comes in as an argument, keys come in as bytes.
//
// No error text of this package contains a token, a claim's value or a key, so errors may be logged.
//
// "JWS" is RFC 7515, "JWT" RFC 7519, "JWK" RFC 7517, "JWA" RFC 7518; the rules against their known abuses are those of
// RFC 8725.
package token
