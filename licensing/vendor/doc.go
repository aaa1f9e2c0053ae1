// Package vendor speaks to license services of vendors: it says in their words what a license may give, which a grant says in ours, and
// signs it with the secret that the vendor has issued.
//
// What a format is taken from, and what could not be confirmed, is said with each vendor. A service gets no more of a viewer than a
// pseudonym. Nothing here does I/O, and no error holds a secret or a token.
package vendor
