// Package hls rewrites HLS playlists for protected delivery, line by line.
//
// Every reference is resolved, checked and expressed again with the path elements that a Protector asks for; EXT-X-KEY
// lines are put in front of each EXT-X-MAP, behind it where its segments are encrypted whole, and in front of the first
// segment where there is none. Every byte that is not part of such a change leaves as it came: line ends, comments,
// unknown tags, spellings of numbers, a missing final newline.
//
// Byte ranges describe the clear file. Each range gets a URL of its own, and EXT-X-BYTERANGE, BYTERANGE, BYTERANGE-START
// and BYTERANGE-LENGTH are dropped.
//
// What a player could follow to a place that the gateway does not answer for does not pass. What playback needs is
// refused with the number of its line; what a player can do without is dropped:
//
//	EXT-X-I-FRAME-STREAM-INF    dropped when its URI cannot be sealed as a playlist
//	EXT-X-CONTENT-STEERING      dropped: a steering manifest can replace host names
//	EXT-X-SESSION-DATA          dropped when its URI cannot be sealed as a sidecar
//	EXT-X-DATERANGE             dropped when it names an interstitial that cannot be sealed as a playlist, or a list of them
//	EXT-X-PRELOAD-HINT          dropped with a byte range that is open at the end, for an init segment that no EXT-X-MAP has
//	                            named yet, and for a part without track
//	EXT-X-SERVER-CONTROL        loses CAN-SKIP-UNTIL and CAN-SKIP-DATERANGES: a delta update leaves out keys and init segments
//	EXT-X-SKIP                  refused, with ErrUnsupported, unless an EXT-X-MAP stands in front of the segments that follow
//	EXT-X-DEFINE                dropped: its variables are expanded wherever they are used
//	EXT-X-KEY:METHOD=NONE       dropped: it would switch our own keys off
//	other EXT-X-KEY             refused, with ErrAlreadyProtected, unless Options says that keys stay with what came protected,
//	                            or that they are left over, and dropped
//	EXT-X-SESSION-KEY           as EXT-X-KEY; the keys of the title that the Protector names stand in front of the first variant
//	variants                    dropped when the Protector says so; EXT-X-MEDIA of the groups that only they named with them, but
//	                            for audio
//	attributes of known tags    dropped when they hold a reference that the tag has no place for
//	unknown tags                dropped when they hold a URL, a URI attribute or a variable
//	comments, unknown tags      dropped when a tag begins inside them: some players look for tags anywhere in a line
//
// The package is pure. "8216bis" in it is draft-pantos-hls-rfc8216bis, clauses as in revisions -07 to -14.
package hls
