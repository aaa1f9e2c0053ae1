// Package state holds what the nodes of a deployment share: which streams are being watched, what has been revoked, which
// titles were given new keys, which licenses were granted, which single-use tokens were seen, and where Periods of live MPDs begin. One node keeps it in memory; many keep it in Redis or Valkey.
//
// Nothing of it is on the way of a media request. A node holds a lease on each playback and renews all of its leases in the
// background; revocations are looked up in a copy that the node keeps. Only the first request of a playback on a node asks the
// store, for a time that is bounded, and what holds when the store does not answer is declared: see FailureMode.
//
// Whose stream it is and what was revoked is known to a store by keyed digests alone: see Digester.
package state
