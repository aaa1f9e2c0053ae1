package drm

import "testing"

// TestForClass: what is worth less asks for less, sound for no outputs, and a key that all share for everything.
func TestForClass(t *testing.T) {
	for level, want := range map[Level]map[TrackClass]Level{
		LevelHigh:   {ClassShared: LevelHigh, ClassAudio: LevelHigh, ClassSD: LevelLow, ClassHD: LevelMedium, ClassUHD1: LevelHigh, ClassUHD2: LevelHigh},
		LevelMedium: {ClassShared: LevelMedium, ClassAudio: LevelMedium, ClassSD: LevelLow, ClassHD: LevelMedium, ClassUHD1: LevelMedium, ClassUHD2: LevelMedium},
		LevelLow:    {ClassShared: LevelLow, ClassAudio: LevelLow, ClassSD: LevelLow, ClassHD: LevelLow, ClassUHD1: LevelLow, ClassUHD2: LevelLow},
	} {
		for class, wanted := range want {
			g := Group{Name: "g", Level: level, HDCP: HDCP22}.ForClass(class)
			hdcp := HDCP22
			if class == ClassAudio {
				hdcp = HDCPNone
			}
			if g.Level != wanted || g.HDCP != hdcp || g.Name != "g" {
				t.Errorf("%s of level %s: %s, HDCP %s", class, level, g.Level, g.HDCP)
			}
		}
	}
}
