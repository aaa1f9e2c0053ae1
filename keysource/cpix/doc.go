// Package cpix reads and writes CPIX documents, in which key servers and packagers exchange content keys, what DRM systems are
// told of them, and which tracks and crypto periods they are for.
//
// Parse refuses whatever it does not understand rather than guess: a document type or an entity, a key that nobody vouches for, a
// rule whose filter cannot be evaluated. It reads no more than it was given and asks nobody. Key bytes leave the package inside a
// drm.ContentKey or a document that Append was told to write them into; no error holds one.
//
// "CPIX" is DASH-IF Content Protection Information Exchange Format 2.3 and 2.4 (ETSI TS 103 799); "xmlenc" is XML Encryption 1.1.
package cpix
