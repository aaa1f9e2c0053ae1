package drm

// ForClass returns the group as it holds for tracks of a class with a key of their own: UHD needs all that the group asks for, HD one level
// less, and what is smaller none. Sound needs no protected outputs, and its level is that of the group, which each system has its own answer
// to. A key that all tracks share needs all of it.
func (g Group) ForClass(class TrackClass) Group {
	switch class {
	case ClassHD:
		g.Level = min(g.Level, LevelMedium)
	case ClassSD:
		g.Level = LevelLow
	case ClassAudio:
		g.HDCP = HDCPNone
	case ClassShared, ClassUHD1, ClassUHD2: // all of it
	}
	return g
}
