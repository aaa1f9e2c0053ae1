// Package speke speaks SPEKE 1, 2.0 and 2.1, in which a packager asks a key server for content keys, from both sides: Client is a
// keysource.Fetcher, Server answers other packagers with the keys that are derived here.
//
// "SPEKE" is the Secure Packager and Encoder Key Exchange API specification of AWS; its documents are those of package cpix.
package speke
