// Package rights says for which titles who may watch where, from when to when, and under which business model.
//
// A Catalog holds titles. Each has paths, which name themselves and all that lies below, and windows: half-open spans of time,
// [start, end), with the territories and the offer that hold in them. Blackouts close a channel for a program. Parse reads a
// catalog from JSON or YAML, ImportODRL from policies of ODRL 2.2; Lint finds what is allowed and most likely not meant.
//
// A catalog that is read with an error is no catalog: a restriction that was not understood never means that there is none.
package rights
