package segcrypt

// Clear is bytes as they came from the origin. They are never written to a client; what samples leave clear, as text and as
// Protection.ClearUntil says, is in Protected like all else.
type Clear []byte

// Protected is bytes that may leave the gateway.
type Protected []byte

// TrackKind says how a track is protected.
type TrackKind uint8

// The kinds of track that an init segment may describe.
const (
	// KindVideo is protected by subsamples.
	KindVideo TrackKind = iota + 1
	// KindAudio is protected as whole samples.
	KindAudio
	// KindText passes in clear.
	KindText
)

// String returns "video", "audio" or "text".
func (k TrackKind) String() string {
	switch k {
	case KindVideo:
		return "video"
	case KindAudio:
		return "audio"
	case KindText:
		return "text"
	default:
		return "unknown"
	}
}

// Track is what an init segment says about one track.
type Track struct {
	ID          uint32 // track_ID, not zero
	Kind        TrackKind
	SampleEntry string // four-character code of the first sample entry, such as "avc1"
	Timescale   uint32 // ticks per second
	Width       uint32 // coded luma samples of the first sample entry; zero unless Kind is KindVideo
	Height      uint32
}

// subsample is a clear run and the protected run after it, in bytes (23001-7, 7.2).
type subsample struct {
	clear     uint16
	protected uint32
}
