package drm

import (
	"testing"
	"time"
)

// TestLiveRotation: no key of a live channel under cenc lasts for more than a week, unless the group says so.
func TestLiveRotation(t *testing.T) {
	for name, test := range map[string]struct {
		group  Group
		scheme ProtectionScheme
		want   time.Duration
	}{
		"cenc":                    {Group{}, SchemeCenc, LiveCryptoPeriod},
		"cbcs":                    {Group{}, SchemeCbcs, 0},
		"whole segments":          {Group{}, SchemeAES128, 0},
		"as the group says":       {Group{Rotate: time.Minute}, SchemeCenc, time.Minute},
		"longer, if it says so":   {Group{Rotate: MaxCryptoPeriod}, SchemeCenc, MaxCryptoPeriod},
		"cbcs, as the group says": {Group{Rotate: time.Minute}, SchemeCbcs, time.Minute},
		"licenses that are kept":  {Group{License: LicenseTerms{Persistent: true}}, SchemeCenc, 0},
	} {
		if got := test.group.LiveRotation(test.scheme); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
