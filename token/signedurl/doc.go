// Package signedurl verifies and makes the signed URLs, cookies and headers of content delivery networks and media servers, so that
// what an operator's shop already signs opens the gateway as it is: Akamai's token authentication 2.0, CloudFront's signed URLs and
// cookies, nginx's secure_link, Flussonic's securetoken, and the token authentication of bunny.net.
//
// Each kind is a token.Finder: it knows the parameters that carry its credential. What a signature covers without naming it in the
// credential, such as the path, is taken from the request. Kinds differ in what they sign:
//
//	one URL            Claims.OneAddress, and a Scope of that path
//	a directory        Scope, where the kind means whole path elements
//	wildcards          Conditions, judged on every request against the URL that the viewer sees
//	a client address   Conditions
//	countries          Claims.Countries, or Conditions for those that are excluded
//
// Paths are those that the viewer sees (token.Request.PublicPath), but for Flussonic's stream names, which are of the clean path.
// An expiry is required everywhere. Several of these formats join their fields without separators, so that a digit may pass from
// one to its neighbor: there, times must have exactly ten digits, which pins them until 2286.
//
// No error text contains a credential, a key or a path. The package is pure: no I/O, no clock.
package signedurl
