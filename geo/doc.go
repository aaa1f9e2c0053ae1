// Package geo tells what is known of an address, and whether a rule admits it.
//
// Country, Subdivision, Continent, an ASN and the kind of Network make a Place. Database reads files of the MaxMind DB format from
// memory, of all publishers whose records it knows; File keeps one up to date while it is in use; Databases merges several. Rule
// judges a Place by what a List of its words allows and denies.
//
// An address says where a connection ends, not who uses it: a rule on countries is territorial care, never identification.
//
// Nothing here resolves a client's address; the caller hands in the one that its server trusts.
package geo
