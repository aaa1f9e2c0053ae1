// Package entitlement asks an HTTP backend of the operator whether a viewer may watch: when a playback starts, and from time to time
// while it goes on.
//
// A start waits for its answer, once for all who ask the same; answers are kept for as long as they say, within bounds. A playback that
// goes on never waits: it holds a lease, which is renewed behind it, and what was said last counts until there is another answer.
// What counts when there is none is configured. Whoever calls hands in the time, so that nothing here looks at a clock.
package entitlement
