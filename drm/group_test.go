package drm

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var allDRM = []SystemID{SystemWidevine, SystemPlayReady, SystemFairPlay}

func TestGroupsThatWork(t *testing.T) {
	for name, g := range map[string]Group{
		"the default":                    {},
		"all systems at level high":      {Name: "premium", Level: LevelHigh, Systems: allDRM, HDCP: HDCP22, Rotate: 10 * time.Minute, License: LicenseTerms{Duration: 4 * time.Hour}},
		"a purchase to keep":             {Systems: allDRM, Level: LevelMedium, License: LicenseTerms{Persistent: true, Duration: 30 * 24 * time.Hour, Rental: 30 * 24 * time.Hour, Playback: 48 * time.Hour}},
		"exactly two crypto periods":     {Rotate: time.Minute, License: LicenseTerms{Duration: 2 * time.Minute}, Systems: allDRM},
		"one crypto period, but renewed": {Rotate: time.Minute, License: LicenseTerms{Duration: time.Minute, Renew: 30 * time.Second}, Systems: allDRM},
		"the shortest crypto period":     {Rotate: 2 * time.Second},
		"the longest crypto period":      {Rotate: MaxCryptoPeriod},
		"ClearKey beside others at low":  {Systems: GroupSystems[:]},
		"FairPlay alone with cbcs":       {Systems: []SystemID{SystemFairPlay}, Scheme: SchemeCbcs},
		"an old header with cenc":        {Systems: []SystemID{SystemPlayReady}, Scheme: SchemeCenc, PlayReadyHeader: PlayReady40},
		"header 4.3 with auto":           {Systems: []SystemID{SystemPlayReady}, PlayReadyHeader: PlayReady43},
		"AES-128":                        {Scheme: SchemeAES128},
		"an hour in clear":               {ClearLead: time.Hour},
		"ClearKey to keep":               {License: LicenseTerms{Persistent: true, Playback: time.Hour}},
		"a license without an end":       {Systems: allDRM, License: LicenseTerms{Renew: time.Hour}},
	} {
		if problems, _ := g.Check(true); len(problems) > 0 {
			t.Errorf("%s is refused: %v", name, problems)
		}
	}
}

// groupMistakes are groups that break one rule each, in the order of the rules.
var groupMistakes = []struct {
	name  string
	group Group
	wants string // "option: ", and words of the reason
}{
	{"a name with a slash", Group{Name: "a/b"}, "group: letters"},
	{"persistent with rotation", Group{Systems: allDRM, Rotate: time.Hour, License: LicenseTerms{Persistent: true}}, "license: exclude"},
	{"a license that ended before it began", Group{Systems: allDRM, License: LicenseTerms{Duration: -1}}, "license: above zero"},
	{"a rental of a temporary license", Group{Systems: allDRM, License: LicenseTerms{Rental: time.Hour}}, "license: temporary"},
	{"playback longer than the license", Group{Systems: allDRM, License: LicenseTerms{Persistent: true, Duration: time.Hour, Playback: 2 * time.Hour}}, "license: longer than the license"},
	{"renewal at the end", Group{Systems: allDRM, License: LicenseTerms{Duration: time.Hour, Renew: time.Hour}}, "license: over already"},
	{"less than two crypto periods", Group{Systems: allDRM, Rotate: time.Minute, License: LicenseTerms{Duration: 2*time.Minute - 1}}, "license: two crypto periods"},
	{"AES-128 to keep", Group{Scheme: SchemeAES128, License: LicenseTerms{Persistent: true}}, "license: AES-128"},
	{"ClearKey that renews", Group{License: LicenseTerms{Duration: time.Hour, Renew: time.Minute}}, "license: does not end"},
	{"a crypto period of a second", Group{Rotate: time.Second}, "rotate: 2 seconds"},
	{"a crypto period of 2.5 s", Group{Rotate: 2500 * time.Millisecond}, "rotate: whole number"},
	{"FairPlay with cenc", Group{Systems: allDRM, Scheme: SchemeCenc}, "scheme: FairPlay decrypts cbcs alone, and"},
	{"FairPlay alone with auto", Group{Systems: []SystemID{SystemFairPlay}}, "scheme: auto gives cenc"},
	{"AES-128 with Widevine", Group{Systems: []SystemID{SystemWidevine}, Scheme: SchemeAES128}, "scheme: in clear"},
	{"level high without systems", Group{Level: LevelHigh}, "systems: level low alone"},
	{"a system twice", Group{Systems: []SystemID{SystemWidevine, SystemPlayReady, SystemWidevine}}, "systems: twice"},
	{"the common system", Group{Systems: []SystemID{SystemWidevine, SystemCommon}}, "systems: want"},
	{"HDCP with ClearKey", Group{HDCP: HDCP1}, "hdcp: ClearKey"},
	{"header 4.0 with cbcs", Group{Systems: allDRM, Scheme: SchemeCbcs, PlayReadyHeader: PlayReady40}, "playready_header: cbcs needs 4.3"},
	{"header 4.2 with auto", Group{Systems: allDRM, PlayReadyHeader: PlayReady42}, "playready_header: auto"},
	{"more than an hour in clear", Group{ClearLead: time.Hour + 1}, "clear_lead: hour"},
	{"a lead of AES-128", Group{ClearLead: time.Second, Scheme: SchemeAES128}, "clear_lead: whole segments"},
}

func TestGroupsThatCannotWork(t *testing.T) {
	if len(groupMistakes) != len(groupProblems) {
		t.Errorf("%d mistakes for %d rules", len(groupMistakes), len(groupProblems))
	}
	for i, mistake := range groupMistakes {
		problems, _ := mistake.group.Check(false)
		option, words, _ := strings.Cut(mistake.wants, ": ")
		if len(problems) != 1 || problems[0].Option != option || !strings.Contains(problems[0].Reason, words) {
			t.Errorf("%s: %v, want one problem, %s", mistake.name, problems, mistake.wants)
		} else if rule := groupProblems[i]; problems[0].Reason != rule.reason {
			t.Errorf("%s breaks another rule than that in its place", mistake.name)
		}
	}
}

func TestGroupsAtTheBorders(t *testing.T) {
	for name, g := range map[string]Group{
		"ClearKey at level medium":        {Level: LevelMedium, Systems: []SystemID{SystemWidevine, SystemClearKey}},
		"a crypto period of minus a hour": {Rotate: -time.Hour},
		"a crypto period of ages":         {Rotate: MaxCryptoPeriod + time.Second},
		"less than nothing in clear":      {ClearLead: -1},
		"a name of 65 letters":            {Name: strings.Repeat("x", 65)},
		"a name with a line break":        {Name: "x\n"},
		"rental longer than the license":  {Systems: allDRM, License: LicenseTerms{Persistent: true, Duration: time.Hour, Rental: 2 * time.Hour}},
		"playback of a temporary license": {Systems: allDRM, License: LicenseTerms{Playback: time.Hour}},
		"a negative renewal":              {Systems: allDRM, License: LicenseTerms{Renew: -1}},
	} {
		if problems, _ := g.Check(false); len(problems) == 0 {
			t.Errorf("%s is not refused", name)
		}
	}
}

func TestGroupsThatWarn(t *testing.T) {
	widevine := []SystemID{SystemWidevine}
	all := []struct {
		name  string
		group Group
		wants string
	}{
		{"kept forever", Group{Systems: widevine, License: LicenseTerms{Persistent: true}}, "license: forever"},
		{"kept by some", Group{Systems: []SystemID{SystemWidevine, SystemClearKey}, License: LicenseTerms{Persistent: true, Playback: time.Hour}}, "license: no browser keeps"},
		{"ClearKey that should end", Group{License: LicenseTerms{Duration: time.Hour}}, "license: does not end by itself"},
		{"HDCP and ClearKey", Group{Systems: []SystemID{SystemWidevine, SystemClearKey}, HDCP: HDCP1}, "hdcp: any output"},
		{"HDCP at level low", Group{Systems: widevine, HDCP: HDCP1}, "hdcp: plain software"},
		{"HDCP 2.1 in PlayReady", Group{Systems: []SystemID{SystemPlayReady}, Level: LevelMedium, HDCP: HDCP21}, "hdcp: 2.1 apart"},
		{"HDCP 2.3 in FairPlay", Group{Systems: []SystemID{SystemFairPlay}, Scheme: SchemeCbcs, Level: LevelMedium, HDCP: HDCP23}, "hdcp: with 2.2"},
		{"a header without PlayReady", Group{Systems: widevine, Scheme: SchemeCenc, PlayReadyHeader: PlayReady40}, "playready_header: not among"},
		{"boxes of ClearKey", Group{PsshInInit: true}, "pssh_in_init: no boxes"},
		{"a clear beginning at level high", Group{Systems: widevine, Level: LevelHigh, ClearLead: time.Second}, "clear_lead: in clear"},
		{"a beginning of a channel", Group{Rotate: time.Minute, ClearLead: time.Second}, "clear_lead: live"},
	}
	if len(all) != len(groupWarnings) {
		t.Errorf("%d groups for %d rules", len(all), len(groupWarnings))
	}
	for _, test := range all {
		problems, warnings := test.group.Check(false)
		option, words, _ := strings.Cut(test.wants, ": ")
		if len(problems) > 0 || !slices.ContainsFunc(warnings, func(p Problem) bool { return p.Option == option && strings.Contains(p.Reason, words) }) {
			t.Errorf("%s: problems %v, warnings %v, want %s", test.name, problems, warnings, test.wants)
		}
	}
	if _, warnings := (Group{}).Check(true); len(warnings) > 0 {
		t.Errorf("the default warns: %v", warnings)
	}
	high := Group{Systems: widevine, Level: LevelHigh}
	if _, warnings := high.Check(true); len(warnings) != 1 || warnings[0] != oneKeyProblem {
		t.Errorf("one key at level high: %v", warnings)
	}
	if _, warnings := high.Check(false); len(warnings) > 0 {
		t.Errorf("keys of their own at level high: %v", warnings)
	}
}

func TestGroupRulesHaveAllRules(t *testing.T) {
	problems, warnings := GroupRules()
	if len(problems) != len(groupProblems) || len(warnings) != len(groupWarnings)+1 {
		t.Errorf("%d problems and %d warnings", len(problems), len(warnings))
	}
}

func TestWhatAGroupBecomes(t *testing.T) {
	for level, want := range map[Level]struct {
		video, audio, playReady int
		robustness, fairPlay    string
	}{
		LevelLow:    {1, 1, 2000, "SW_SECURE_CRYPTO/SW_SECURE_CRYPTO", "NONE"},
		LevelMedium: {3, 1, 2000, "HW_SECURE_CRYPTO/SW_SECURE_CRYPTO", "NONE"},
		LevelHigh:   {5, 3, 3000, "HW_SECURE_ALL/HW_SECURE_CRYPTO", "TYPE-0"},
	} {
		g := Group{Level: level, Systems: allDRM}
		w := g.Widevine()
		if w.VideoSecurityLevel != want.video || w.AudioSecurityLevel != want.audio || w.VideoRobustness+"/"+w.AudioRobustness != want.robustness {
			t.Errorf("Widevine at %s: %+v", level, w)
		}
		if p := g.PlayReady(); p.SecurityLevel != want.playReady || p.AudioSecurityLevel != 2000 || p.DigitalVideoOutput != 100 || p.HDCPType1 {
			t.Errorf("PlayReady at %s: %+v", level, p)
		}
		if got := g.FairPlayHDCP(); got != want.fairPlay {
			t.Errorf("FairPlay at %s: %s", level, got)
		}
	}
	for hdcp, want := range map[HDCP]struct {
		widevine, hls string
		output        int
		type1         bool
	}{
		HDCPNone: {"HDCP_NONE", "NONE", 100, false}, HDCP1: {"HDCP_V1", "TYPE-0", 300, false}, HDCP20: {"HDCP_V2", "TYPE-0", 300, false},
		HDCP21: {"HDCP_V2_1", "TYPE-0", 300, false}, HDCP22: {"HDCP_V2_2", "TYPE-1", 300, true}, HDCP23: {"HDCP_V2_3", "TYPE-1", 300, true},
	} {
		g := Group{HDCP: hdcp}
		if g.Widevine().HDCP != want.widevine || g.HDCPLevel() != want.hls || g.FairPlayHDCP() != want.hls || g.PlayReady().DigitalVideoOutput != want.output || g.PlayReady().HDCPType1 != want.type1 {
			t.Errorf("HDCP %s: %+v, %s, %+v", hdcp, g.Widevine(), g.HDCPLevel(), g.PlayReady())
		}
	}
	terms := LicenseTerms{Persistent: true, Duration: 48 * time.Hour, Rental: 1500 * time.Millisecond, Playback: time.Hour, Renew: time.Minute}
	if w := (Group{License: terms}).Widevine(); !w.CanPersist || !w.CanRenew || w.LicenseDurationSeconds != 172800 || w.RentalDurationSeconds != 2 || w.PlaybackDurationSeconds != 3600 || w.RenewalDelaySeconds != 60 {
		t.Errorf("terms: %+v", w)
	}
}

func TestEMEConfiguration(t *testing.T) {
	high := Group{Level: LevelHigh, Systems: allDRM}
	for name, test := range map[string]struct {
		group  Group
		system SystemID
		want   string
	}{
		"ClearKey has no robustness": {Group{}, SystemClearKey,
			`{"initDataTypes":["cenc"],"audioCapabilities":[{"contentType":"audio/mp4; codecs=\"mp4a.40.2\""}],"videoCapabilities":[{"contentType":"video/mp4; codecs=\"avc1.640028\""}],"persistentState":"optional","sessionTypes":["temporary"]}`},
		"browsers keep no ClearKey": {Group{License: LicenseTerms{Persistent: true}}, SystemClearKey,
			`{"initDataTypes":["cenc"],"audioCapabilities":[{"contentType":"audio/mp4; codecs=\"mp4a.40.2\""}],"videoCapabilities":[{"contentType":"video/mp4; codecs=\"avc1.640028\""}],"persistentState":"optional","sessionTypes":["temporary"]}`},
		"Widevine at level high": {high, SystemWidevine,
			`{"initDataTypes":["cenc"],"audioCapabilities":[{"contentType":"audio/mp4; codecs=\"mp4a.40.2\"","robustness":"HW_SECURE_CRYPTO"}],"videoCapabilities":[{"contentType":"video/mp4; codecs=\"avc1.640028\"","robustness":"HW_SECURE_ALL"}],"persistentState":"optional","sessionTypes":["temporary"]}`},
		"PlayReady at level high": {high, SystemPlayReady,
			`{"initDataTypes":["cenc"],"audioCapabilities":[{"contentType":"audio/mp4; codecs=\"mp4a.40.2\"","robustness":"2000"}],"videoCapabilities":[{"contentType":"video/mp4; codecs=\"avc1.640028\"","robustness":"3000"}],"persistentState":"optional","sessionTypes":["temporary"]}`},
		"FairPlay is cbcs": {high, SystemFairPlay,
			`{"initDataTypes":["sinf","skd"],"audioCapabilities":[{"contentType":"audio/mp4; codecs=\"mp4a.40.2\"","encryptionScheme":"cbcs"}],"videoCapabilities":[{"contentType":"video/mp4; codecs=\"avc1.640028\"","encryptionScheme":"cbcs"}],"persistentState":"optional","sessionTypes":["temporary"]}`},
		"a license to keep": {Group{Scheme: SchemeCenc, License: LicenseTerms{Persistent: true}}, SystemPlayReady,
			`{"initDataTypes":["cenc"],"audioCapabilities":[{"contentType":"audio/mp4; codecs=\"mp4a.40.2\"","robustness":"2000","encryptionScheme":"cenc"}],"videoCapabilities":[{"contentType":"video/mp4; codecs=\"avc1.640028\"","robustness":"2000","encryptionScheme":"cenc"}],"persistentState":"required","sessionTypes":["persistent-license"]}`},
	} {
		if got, err := json.Marshal(test.group.EME(test.system)); err != nil || string(got) != test.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	names := []string{}
	for _, system := range append(slices.Clone(GroupSystems[:]), SystemCommon) {
		names = append(names, system.KeySystem())
	}
	if want := []string{"org.w3.clearkey", "com.widevine.alpha", "com.microsoft.playready.recommendation", "com.apple.fps", ""}; !reflect.DeepEqual(names, want) {
		t.Errorf("key systems %q", names)
	}
}

func TestWordsOfGroups(t *testing.T) {
	for _, level := range []Level{LevelLow, LevelMedium, LevelHigh} {
		if got, err := ParseLevel(level.String()); err != nil || got != level {
			t.Errorf("level %s: %v, %v", level, got, err)
		}
	}
	for hdcp := HDCPNone; hdcp <= HDCP23; hdcp++ {
		if got, err := ParseHDCP(hdcp.String()); err != nil || got != hdcp {
			t.Errorf("HDCP %s: %v, %v", hdcp, got, err)
		}
	}
	for version := PlayReady40; version <= PlayReady43; version++ {
		if got, err := ParsePlayReadyVersion(version.String()); err != nil || got != version {
			t.Errorf("header %s: %v, %v", version, got, err)
		}
	}
	for _, word := range []string{"", "2", "1.4", "4.4", "4.0.0.0", "highest"} {
		_, level := ParseLevel(word)
		_, hdcp := ParseHDCP(word)
		_, header := ParsePlayReadyVersion(word)
		if level == nil || hdcp == nil || header == nil {
			t.Errorf("%q is a word: %v, %v, %v", word, level, hdcp, header)
		}
	}
}
