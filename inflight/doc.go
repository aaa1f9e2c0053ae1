// Package inflight bounds the memory that requests under way hold, over all requests of the process: a Budget of bytes, and a
// Spool of files for what slow clients have still to read.
//
// # The life of a segment
//
//	Acquire   before the origin is asked, with the length of the segment, or an estimate if that is not known
//	Grow      as the body arrives, if the estimate was too low; when the length becomes known
//	Shrink    when all is there and took less
//	Pressure  before sending: if it says yes, the protected segment goes to a Spool instead, the memory is given back, and
//	          the client reads from the file at its own pace
//	Release   always, by defer
//
// # Why nothing deadlocks
//
// Who waits for a first grant holds nothing. Who grows holds what others may wait for, so growing goes ahead of all first
// grants, and if everybody who holds something waits to grow, the one who came last is told ErrBusy at once; what it then
// releases lets another go on. That is why a holder must never call Acquire for the same piece of work: it grows.
//
// Grants are given in the order in which they were asked for, also where a later, smaller one would fit: otherwise large
// segments would starve. The time that a caller waits is bounded; what is left then is 503 with Retry-After.
package inflight
