package cpix

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// kidN are KIDs that name their number.
func kidN(n byte) drm.KID { return drm.KID{15: n} }

func withRules(rules ...Rule) *Document {
	d := &Document{Rules: rules}
	for n := byte(1); n <= 9; n++ {
		d.Keys = append(d.Keys, Key{KID: kidN(n)})
	}
	return d
}

func TestSelect(t *testing.T) {
	const sd, hd, uhd1 = 1024 * 576, 1920 * 1080, 4096 * 2160
	audio := Rule{KID: kidN(1), Audio: []AudioFilter{{}}}
	for name, test := range map[string]struct {
		d    *Document
		want [5]byte // AUDIO SD HD UHD1 UHD2; 0: no key; 255: left open
	}{
		"one key for all":   {withRules(Rule{KID: kidN(2), TrackType: "ALL", Audio: []AudioFilter{{}}, Video: []VideoFilter{{}}}), [5]byte{2, 2, 2, 2, 2}},
		"no filter":         {withRules(Rule{KID: kidN(2)}), [5]byte{2, 2, 2, 2, 2}},
		"audio and video":   {withRules(audio, Rule{KID: kidN(2), Video: []VideoFilter{{}}}), [5]byte{1, 2, 2, 2, 2}},
		"SD, HD and above":  {withRules(audio, Rule{KID: kidN(2), Video: []VideoFilter{{0, sd}}}, Rule{KID: kidN(3), Video: []VideoFilter{{sd + 1, 0}}}), [5]byte{1, 2, 3, 3, 3}},
		"every class":       {withRules(audio, Rule{KID: kidN(2), Video: []VideoFilter{{0, sd}}}, Rule{KID: kidN(3), Video: []VideoFilter{{sd + 1, hd}}}, Rule{KID: kidN(4), Video: []VideoFilter{{hd + 1, uhd1}}}, Rule{KID: kidN(5), Video: []VideoFilter{{uhd1 + 1, 0}}}), [5]byte{1, 2, 3, 4, 5}},
		"HD in two parts":   {withRules(audio, Rule{KID: kidN(2), Video: []VideoFilter{{sd + 1, 921600}}}, Rule{KID: kidN(3), Video: []VideoFilter{{921601, hd}}}), [5]byte{1, 0, 3, 0, 0}},
		"SD+HD1":            {withRules(Rule{KID: kidN(2), Video: []VideoFilter{{0, sd}, {sd + 1, 921600}}}, Rule{KID: kidN(3), Video: []VideoFilter{{921601, hd}}}), [5]byte{0, 2, 3, 0, 0}},
		"by names alone":    {withRules(Rule{KID: kidN(1), TrackType: "AUDIO"}, Rule{KID: kidN(2), TrackType: "SD+HD1"}, Rule{KID: kidN(3), TrackType: "HD2"}, Rule{KID: kidN(4), TrackType: "UHD"}), [5]byte{1, 2, 3, 4, 4}},
		"unknown name":      {withRules(Rule{KID: kidN(1), TrackType: "SMELL"}), [5]byte{}},
		"two for one class": {withRules(audio, Rule{KID: kidN(2), Video: []VideoFilter{{}}}, Rule{KID: kidN(3), Video: []VideoFilter{{}}}), [5]byte{1, 255, 255, 255, 255}},
		"stereo and more":   {withRules(Rule{KID: kidN(1), Audio: []AudioFilter{{0, 2}}}, Rule{KID: kidN(2), Audio: []AudioFilter{{3, 0}}}), [5]byte{255, 0, 0, 0, 0}},
		"two of one key":    {withRules(Rule{KID: kidN(1), Audio: []AudioFilter{{0, 2}}}, Rule{KID: kidN(1), Audio: []AudioFilter{{3, 0}}}), [5]byte{1, 0, 0, 0, 0}},
		"both kinds hold":   {withRules(Rule{KID: kidN(2), Audio: []AudioFilter{{1, 2}}, Video: []VideoFilter{{0, sd}}}), [5]byte{}},
		"by bitrate":        {withRules(Rule{KID: kidN(2), Video: []VideoFilter{{}}, Unsupported: "BitrateFilter"}), [5]byte{0, 255, 255, 255, 255}},
		"only a label":      {withRules(Rule{KID: kidN(2), Unsupported: "LabelFilter"}), [5]byte{255, 255, 255, 255, 255}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, class := range drm.SplitClasses {
				k, err := test.d.Select(Question{class, drm.SchemeCenc, 0})
				got := k.KID[15]
				if err != nil && !errors.Is(err, ErrNoKey) {
					got = 255
				}
				if got != test.want[i] {
					t.Errorf("%s: key %d (%v), want %d", class, got, err, test.want[i])
				}
			}
		})
	}
}

func TestSelectShared(t *testing.T) {
	all := Rule{KID: kidN(2), TrackType: "ALL", Audio: []AudioFilter{{}}, Video: []VideoFilter{{}}}
	if k, err := withRules(all).Select(Question{drm.ClassShared, drm.SchemeCenc, 0}); err != nil || k.KID != kidN(2) {
		t.Errorf("%v, %v", k.KID, err)
	}
	for name, d := range map[string]*Document{
		"split":       withRules(Rule{KID: kidN(1), Audio: []AudioFilter{{}}}, Rule{KID: kidN(2), Video: []VideoFilter{{}}}),
		"video alone": withRules(Rule{KID: kidN(2), Video: []VideoFilter{{}}}),
		"no rules":    withRules(),
	} {
		if k, err := d.Select(Question{drm.ClassShared, drm.SchemeCenc, 0}); err == nil {
			t.Errorf("%s: %v", name, k.KID)
		}
	}
}

// TestSelectScheme: a document may have one key per scheme, without any rule.
func TestSelectScheme(t *testing.T) {
	d := &Document{Keys: []Key{{KID: kidN(1), Scheme: drm.SchemeCenc}, {KID: kidN(2), Scheme: drm.SchemeCbcs}}}
	for scheme, want := range map[drm.ProtectionScheme]byte{drm.SchemeCenc: 1, drm.SchemeCbcs: 2} {
		if k, err := d.Select(Question{drm.ClassShared, scheme, 0}); err != nil || k.KID != kidN(want) {
			t.Errorf("%s: %v, %v", scheme, k.KID, err)
		}
	}
	if _, err := d.Select(Question{drm.ClassShared, drm.SchemeAES128, 0}); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
}

// TestPeriods: crypto periods are told by index, by time of day or by presentation time.
func TestPeriods(t *testing.T) {
	start := time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)
	hour := uint32(start.Unix() / 3600)
	for name, test := range map[string]struct {
		attributes string
		index      uint32
		has        bool
	}{
		"index":          {`index="17"`, 17, true},
		"times":          {`start="2026-11-05T10:00:00Z" end="2026-11-05T11:00:00Z"`, hour, true},
		"another zone":   {`start="2026-11-05T12:00:00+02:00" end="2026-11-05T13:00:00+02:00"`, hour, true},
		"duration":       {`start="2026-11-05T10:00:00Z" duration="PT1H"`, hour, true},
		"offsets":        {`startOffset="PT10M" endOffset="PT0H15M"`, 2, true},
		"first offset":   {`startOffset="PT0S" endOffset="PT300S"`, 0, true},
		"offset, length": {`startOffset="PT10M" duration="PT5M"`, 2, true},
		"not a multiple": {`start="2026-11-05T10:10:00Z" end="2026-11-05T11:10:00Z"`, 0, false},
		"no end":         {`start="2026-11-05T10:00:00Z"`, 0, false},
		"nothing":        {``, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := mustParse(t, wrap(twoKeys()+fmt.Sprintf(`<ContentKeyPeriodList><ContentKeyPeriod id="p" %s/></ContentKeyPeriodList>
				<ContentKeyUsageRuleList><ContentKeyUsageRule kid="%s"><KeyPeriodFilter periodId="p"/></ContentKeyUsageRule></ContentKeyUsageRuleList>`,
				test.attributes, kid1)), ParseOptions{})
			if p := d.Periods[0]; p.Index != test.index || p.HasIndex != test.has {
				t.Errorf("index %d, %t", p.Index, p.HasIndex)
			}
			_, err := d.Select(Question{drm.ClassSD, drm.SchemeCenc, test.index})
			if (err == nil) != test.has {
				t.Error(err)
			}
			if _, err := d.Select(Question{drm.ClassSD, drm.SchemeCenc, test.index + 1}); !errors.Is(err, ErrNoKey) {
				t.Errorf("the next period: %v", err)
			}
		})
	}
}
