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
//	                            named yet, for a part without track, and for the beginning of a crypto period
//	EXT-X-SERVER-CONTROL        loses CAN-SKIP-UNTIL and CAN-SKIP-DATERANGES: a delta update leaves out keys and init segments
//	EXT-X-SKIP                  refused, with ErrUnsupported, unless an EXT-X-MAP stands in front of the segments that follow
//	EXT-X-DEFINE                dropped: its variables are expanded wherever they are used; references that use one of another playlist
//	                            (IMPORT) are refused
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
// # Clear lead
//
// With Options.ClearLead the segments of an ended playlist that begin before it, as EXTINF sums up from the first segment on, stay clear:
// no key is in force for them. The keys stand in front of the first segment behind them, and there EXT-X-MAP is written again, because
// one player asks for a license only when an init segment comes behind a key.
//
// # Rotation
//
// With Options.Rotation each segment is of the crypto period that it begins in, by the clock of its playlist:
//
//	ended, by EXT-X-ENDLIST or EXT-X-PLAYLIST-TYPE:VOD   EXTINF summed up from the first segment on
//	live, with EXT-X-PROGRAM-DATE-TIME                   the date of the segment, or counted by EXTINF from the last date in
//	                                                     front of it, or back from the first
//	live, EXT-X-PLAYLIST-TYPE:EVENT                      EXTINF summed up
//	any other                                            media sequence number × target duration
//
// The period is ⌊(clock + 100 ms) / length⌋ modulo 2^32: periods change a little ahead of their boundary, so that segments that an
// encoder cuts on the boundary never lie on either side of it by rounding, and audio changes with video. Parts, hints and the
// EXT-X-MAP in front are of the period of their segment. Keys and EXT-X-MAP are written again at each change, and stand at the top
// of every playlist; EXT-X-DISCONTINUITY is neither written nor a change of the clock.
//
// A segment keeps its period from reload to reload when it has a date of its own, when numbers or sums say when it begins, and
// when it is counted from a date and begins on a boundary, as long as durations and dates of a window are less than 100 ms off in
// sum: with less than a millisecond for each duration, that is 99 segments without a date. What is counted from a date and begins about 100 ms
// ahead of a boundary, nearer than it is off, may be of the one period in one reload and of the next in another: no rule that
// looks at one playlist alone can tell. Both listings play, since each names its own key. All periods of a presentation change
// once, when it ends.
//
// With Rotation.Anchor, a live playlist that has no date in one of its loads is timed from the last that it had.
//
// With Rotation.Replaced, a live playlist with dates also changes its keys where all of them were replaced. Segments whose keys are not given any
// more leave it, as the oldest segments of every live playlist do. Where they cannot, they are listed at the same addresses, as gaps. No key of
// theirs is announced.
//
// A delta update without dates is taken for one of a playlist that has none, and so for one that is timed by numbers.
//
// The package is pure. "8216bis" in it is draft-pantos-hls-rfc8216bis, clauses as in revisions -07 to -14.
package hls
