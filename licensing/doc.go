// Package licensing reads license requests and builds licenses for systems that this gateway serves itself: Clear Key of
// Encrypted Media Extensions, and the raw 16-byte keys of the HLS identity key format.
//
// Of the systems whose licenses come from other servers, Widevine, PlayReady and FairPlay, it reads what a request asks for, in whatever form
// it comes, so that it can be judged and handed on. What a license may give is a Grant, which the package vendor puts into the words of license
// services; Breaker and RetryBudget are for who asks them.
//
// It decides nothing about entitlement: the caller hands over the keys that the viewer may have, and no other key leaves. It
// does no I/O, and its errors hold no key.
//
// "EME" is the W3C recommendation Encrypted Media Extensions, section "Clear Key"; "RFC 8216" is HTTP Live Streaming.
package licensing
