// Package cat reads, judges and makes Common Access Tokens (CTA-5007-B): CBOR Web Tokens (RFC 8392) in a COSE_Mac0 or
// COSE_Sign1 (RFC 9052), as base64url.
//
// Begin with [New], which returns a token.Verifier. What a token demands is judged as its author wrote it, or the token is
// refused: a claim that this package does not know, cannot check, or reads in more than one way is never passed over.
//
// Of a token's demands these become fields of token.Claims: iss and aud (checked here), sub, exp, nbf, cti, and
// catgeoiso3166 where it names countries alone. All others are token.Conditions, which are judged on every request, and which
// a session carries from a manifest to its child addresses:
//
//	catnip, catm, catalpn, cath, catgeoiso3166    judged on each request, children and licenses included
//	catu: scheme, host, port                      judged on each request
//	catu: path and parent path by prefix          judged on each request
//	catu: everything else                         judged where the token is presented. Such a token is made for one address
//	                                              (token.Claims.OneAddress), and a session from it covers the asset of that
//	catreplay, catif, catr                        where the token is presented
//
// A token that is good for one use is named in token.Claims.Once; remembering it is up to a token.Replay.
package cat
