package drm

import (
	"regexp"
	"slices"
	"time"
)

// Problem is a combination of options that cannot work, or one that works otherwise than its words suggest.
type Problem struct {
	// Option is the option of the group that is at fault, by its word.
	Option string
	// Reason says why, to an operator.
	Reason string
}

// String returns "option: reason".
func (p Problem) String() string { return p.Option + ": " + p.Reason }

// Bounds of a group.
const (
	MinCryptoPeriod = 2 * time.Second
	MaxCryptoPeriod = 365 * 24 * time.Hour
	MaxClearLead    = time.Hour
)

// groupRule is a rule about groups, and whether g breaks it.
type groupRule struct {
	option string
	broken func(g Group) bool
	reason string
}

// groupName keeps names apart from whatever ends an element of a URL or of a line.
var groupName = regexp.MustCompile(`^[A-Za-z0-9._-]{0,64}$`)

// groupProblems are the combinations that cannot work.
var groupProblems = [...]groupRule{
	{"group", func(g Group) bool { return !groupName.MatchString(g.Name) }, "a name is made of up to 64 letters, digits, dots, hyphens and underscores: it goes into URLs and into the derivation of keys"},
	{"license", func(g Group) bool { return g.License.Persistent && g.Rotate > 0 }, "a persistent license and rotating keys exclude each other: what is kept opens one crypto period, and nothing after it"},
	{"license", func(g Group) bool {
		return slices.Min([]time.Duration{g.License.Duration, g.License.Rental, g.License.Playback, g.License.Renew}) < 0
	}, "its durations have to be above zero"},
	{"license", func(g Group) bool { return !g.License.Persistent && (g.License.Rental != 0 || g.License.Playback != 0) }, "rental and playback are windows of persistent licenses, and this one is temporary"},
	{"license", func(g Group) bool {
		return g.License.Duration > 0 && max(g.License.Rental, g.License.Playback) > g.License.Duration
	}, "the rental or the playback window is longer than the license, which ends first"},
	{"license", func(g Group) bool { return g.License.Duration > 0 && g.License.Renew >= g.License.Duration }, "it asks to be renewed when it is over already: renew has to be shorter than the license"},
	{"license", func(g Group) bool {
		return g.License.Duration > 0 && g.License.Duration < 2*g.Rotate && g.License.Renew == 0
	}, "it is shorter than two crypto periods and never renewed: it ends before the next key is in use"},
	{"license", func(g Group) bool { return g.License.Persistent && g.Scheme == SchemeAES128 }, "AES-128 hands out keys, and there is no license that could be kept"},
	{"license", func(g Group) bool { return g.License.Renew > 0 && g.only(SystemClearKey) }, "a license of ClearKey does not end, so that no player renews it"},
	{"rotate", func(g Group) bool { return g.Rotate != 0 && (g.Rotate < MinCryptoPeriod || g.Rotate > MaxCryptoPeriod) }, "a crypto period is 2 seconds to 365 days long: players cannot fetch keys faster than segments"},
	{"rotate", func(g Group) bool { return g.Rotate%time.Second != 0 }, "a crypto period is a whole number of seconds, which is what Widevine counts in"},
	{"scheme", func(g Group) bool { return g.has(SystemFairPlay) && g.Scheme == SchemeCenc }, "FairPlay decrypts cbcs alone, and this group is cenc"},
	{"scheme", func(g Group) bool { return g.only(SystemFairPlay) && g.Scheme == 0 }, "auto gives cenc to all but Apple's clients, and FairPlay, the only system, decrypts cbcs alone: want cbcs"},
	{"scheme", func(g Group) bool { return g.Scheme == SchemeAES128 && !g.only(SystemClearKey) }, "AES-128 of whole segments hands its keys out in clear: no Widevine, PlayReady or FairPlay takes part in it"},
	{"systems", func(g Group) bool { return g.has(SystemClearKey) && g.Level > LevelLow }, "ClearKey hands the content key to the page in clear, which meets level low alone: leave it out, and name the systems that are to be used"},
	{"systems", func(g Group) bool { return len(slices.Compact(sortedSystems(g.Systems))) < len(g.Systems) }, "a system stands twice"},
	{"systems", func(g Group) bool {
		return slices.ContainsFunc(g.Systems, func(s SystemID) bool { return !slices.Contains(GroupSystems[:], s) })
	}, "want clearkey, widevine, playready and fairplay"},
	{"hdcp", func(g Group) bool { return g.HDCP > HDCPNone && g.only(SystemClearKey) }, "no ClearKey decryptor looks at outputs: HDCP needs another system"},
	{"playready_header", func(g Group) bool { return g.oldHeader() && g.Scheme == SchemeCbcs }, "headers 4.0 to 4.2 know AES in counter mode alone: cbcs needs 4.3"},
	{"playready_header", func(g Group) bool { return g.oldHeader() && g.Scheme == 0 }, "scheme auto is cbcs for some, which headers 4.0 to 4.2 cannot say: want 4.3, or scheme cenc"},
	{"clear_lead", func(g Group) bool { return g.ClearLead < 0 || g.ClearLead > MaxClearLead }, "want at most an hour"},
	{"clear_lead", func(g Group) bool { return g.ClearLead > 0 && g.Scheme == SchemeAES128 }, "AES-128 encrypts whole segments, with the sample entries in them: a lead is one of cenc and cbcs"},
}

// groupWarnings are those that work, and most likely not as they are meant. The one about keys is not among them.
var groupWarnings = [...]groupRule{
	{"license", func(g Group) bool {
		l := g.License
		return l.Persistent && l.Duration == 0 && l.Rental == 0 && l.Playback == 0
	}, "a persistent license without duration, rental or playback stays on the device forever"},
	{"license", func(g Group) bool { return g.License.Persistent && g.has(SystemClearKey) }, "no browser keeps licenses of ClearKey, though apps do: what browsers are given are temporary ones"},
	{"license", func(g Group) bool { return g.License.Duration > 0 && g.has(SystemClearKey) }, "a license of ClearKey does not end by itself: for those who use it, the session ends the supply of keys, and no key that they have"},
	{"hdcp", func(g Group) bool { return g.HDCP > HDCPNone && g.has(SystemClearKey) && !g.only(SystemClearKey) }, "players that choose ClearKey send the pictures to any output"},
	{"hdcp", func(g Group) bool { return g.HDCP > HDCPNone && g.Level == LevelLow }, "level low allows for decoding in plain software, which can say anything of its outputs: HDCP is only as good as level high"},
	{"hdcp", func(g Group) bool {
		return (g.HDCP == HDCP20 || g.HDCP == HDCP21) && (g.has(SystemPlayReady) || g.has(SystemFairPlay))
	}, "Widevine alone tells 2.0 and 2.1 apart: PlayReady and FairPlay are satisfied with any version"},
	{"hdcp", func(g Group) bool { return g.HDCP == HDCP23 && (g.has(SystemPlayReady) || g.has(SystemFairPlay)) }, "Widevine alone tells 2.3 and 2.2 apart: PlayReady and FairPlay are satisfied with 2.2"},
	{"playready_header", func(g Group) bool { return g.PlayReadyHeader != 0 && !g.has(SystemPlayReady) }, "PlayReady is not among the systems, so that no header is written"},
	{"pssh_in_init", func(g Group) bool { return g.PsshInInit && !slices.ContainsFunc(g.Systems, SystemID.HasPssh) }, "neither Widevine nor PlayReady is among the systems, and the others have no boxes of their own"},
	{"clear_lead", func(g Group) bool { return g.ClearLead > 0 && g.Level == LevelHigh }, "the beginning leaves in clear, whatever the level"},
	{"clear_lead", func(g Group) bool { return g.ClearLead > 0 && g.Rotate > 0 }, "a live channel has no beginning: what stays clear is that of titles on demand"},
}

// oneKeyProblem is the warning for audio and video under one key.
var oneKeyProblem = Problem{"level", "audio and video share a key, which has to be guarded like the video: devices that decode audio in software play no sound, or nothing. Want a key per track class"}

// Check looks for combinations of options that cannot work, and for those that work otherwise than they say. oneKey says that audio and
// video of a title have the same key.
func (g Group) Check(oneKey bool) (problems, warnings []Problem) {
	problems, warnings = g.broken(groupProblems[:]), g.broken(groupWarnings[:])
	if oneKey && g.Level == LevelHigh {
		warnings = append(warnings, oneKeyProblem)
	}
	return problems, warnings
}

func (g Group) broken(rules []groupRule) (found []Problem) {
	for _, rule := range rules {
		if rule.broken(g) {
			found = append(found, Problem{rule.option, rule.reason})
		}
	}
	return found
}

// GroupRules returns all that Check can find, for documentation.
func GroupRules() (problems, warnings []Problem) {
	for _, rule := range groupProblems {
		problems = append(problems, Problem{rule.option, rule.reason})
	}
	for _, rule := range groupWarnings {
		warnings = append(warnings, Problem{rule.option, rule.reason})
	}
	return problems, append(warnings, oneKeyProblem)
}

// SignaledSystems returns Systems, or what stands for none: ClearKey.
func (g Group) SignaledSystems() []SystemID {
	if len(g.Systems) == 0 {
		return []SystemID{SystemClearKey}
	}
	return g.Systems
}

func (g Group) has(system SystemID) bool { return slices.Contains(g.SignaledSystems(), system) }

func (g Group) only(system SystemID) bool { return g.has(system) && len(g.SignaledSystems()) == 1 }

func (g Group) oldHeader() bool { return g.PlayReadyHeader != 0 && g.PlayReadyHeader < PlayReady43 }

func sortedSystems(systems []SystemID) []SystemID {
	return slices.SortedFunc(slices.Values(systems), func(a, b SystemID) int { return slices.Compare(a[:], b[:]) })
}
