// Package geo tells which country an address is in, and whether a rule admits that country.
//
// Country and Set are ISO 3166-1; Database reads country and city files of the MaxMind form from memory; File keeps one up to
// date while it is in use. An address says where a connection ends, not who uses it: a rule on countries is territorial care,
// never identification.
//
// Nothing here resolves a client's address; the caller hands in the one that its server trusts.
package geo
