package drm

import "time"

// WidevinePolicy is what a license of Widevine has to say, in the words of its license service and of EME.
type WidevinePolicy struct {
	// VideoSecurityLevel and AudioSecurityLevel are those of content_key_specs, 1 to 5, and the robustness is their name in EME.
	VideoSecurityLevel int    `json:"video_security_level"`
	AudioSecurityLevel int    `json:"audio_security_level"`
	VideoRobustness    string `json:"video_robustness"`
	AudioRobustness    string `json:"audio_robustness"`
	// HDCP is that of required_output_protection.
	HDCP string `json:"hdcp"`
	// The rest are fields of policy_overrides.
	CanPersist              bool  `json:"can_persist"`
	CanRenew                bool  `json:"can_renew"`
	LicenseDurationSeconds  int64 `json:"license_duration_seconds,omitempty"`
	RentalDurationSeconds   int64 `json:"rental_duration_seconds,omitempty"`
	PlaybackDurationSeconds int64 `json:"playback_duration_seconds,omitempty"`
	RenewalDelaySeconds     int64 `json:"renewal_delay_seconds,omitempty"`
}

// widevineRobustness are the names of the security levels 1 to 5.
var widevineRobustness = [...]string{"", "SW_SECURE_CRYPTO", "SW_SECURE_DECODE", "HW_SECURE_CRYPTO", "HW_SECURE_DECODE", "HW_SECURE_ALL"}

var widevineHDCP = [...]string{HDCPNone: "HDCP_NONE", HDCP1: "HDCP_V1", HDCP20: "HDCP_V2", HDCP21: "HDCP_V2_1", HDCP22: "HDCP_V2_2", HDCP23: "HDCP_V2_3"}

// Widevine returns what the group asks of Widevine. Audio with a key of its own may be decoded in software at every level, since few
// devices decode it elsewhere; at level high its key stays in hardware.
func (g Group) Widevine() WidevinePolicy {
	p := WidevinePolicy{
		HDCP: widevineHDCP[g.HDCP], CanPersist: g.License.Persistent, CanRenew: g.License.Renew > 0,
		LicenseDurationSeconds: seconds(g.License.Duration), RentalDurationSeconds: seconds(g.License.Rental),
		PlaybackDurationSeconds: seconds(g.License.Playback), RenewalDelaySeconds: seconds(g.License.Renew),
	}
	switch g.Level {
	case LevelHigh:
		p.VideoSecurityLevel, p.AudioSecurityLevel = 5, 3
	case LevelMedium:
		p.VideoSecurityLevel, p.AudioSecurityLevel = 3, 1
	default:
		p.VideoSecurityLevel, p.AudioSecurityLevel = 1, 1
	}
	p.VideoRobustness, p.AudioRobustness = widevineRobustness[p.VideoSecurityLevel], widevineRobustness[p.AudioSecurityLevel]
	return p
}

// seconds rounds up, so that a duration below a second is not none.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// PlayReadyPolicy is what a license of PlayReady has to say.
type PlayReadyPolicy struct {
	// SecurityLevel is MinimumSecurityLevel of the video, 2000 or 3000, and AudioSecurityLevel that of audio with a key of its own.
	SecurityLevel      int `json:"security_level"`
	AudioSecurityLevel int `json:"audio_security_level"`
	// DigitalVideoOutput is the output protection level of uncompressed digital video: 100 needs nothing, 300 needs HDCP.
	DigitalVideoOutput int `json:"digital_video_output_protection_level"`
	// HDCPType1 restricts outputs to HDCP Type 1, which is 2.2 or later.
	HDCPType1 bool `json:"hdcp_type_1"`
}

// PlayReady returns what the group asks of PlayReady, which has no level between low and high.
func (g Group) PlayReady() PlayReadyPolicy {
	p := PlayReadyPolicy{SecurityLevel: 2000, AudioSecurityLevel: 2000, DigitalVideoOutput: 100, HDCPType1: g.HDCP >= HDCP22}
	if g.Level == LevelHigh {
		p.SecurityLevel = 3000
	}
	if g.HDCP > HDCPNone {
		p.DigitalVideoOutput = 300
	}
	return p
}

// Values of HDCP-LEVEL (RFC 8216bis, 4.4.6.2) and of the licenses of FairPlay.
const (
	hdcpLevelNone  = "NONE"
	hdcpLevelType0 = "TYPE-0" // any version
	hdcpLevelType1 = "TYPE-1" // 2.2 or later
)

// FairPlayHDCP is what a license of FairPlay asks of outputs: NONE, TYPE-0 or TYPE-1. FairPlay knows no levels: on Apple's devices its keys are
// guarded always, so that level high means HDCP.
func (g Group) FairPlayHDCP() string {
	if g.HDCP == HDCPNone && g.Level == LevelHigh {
		return hdcpLevelType0
	}
	return g.HDCPLevel()
}

// HDCPLevel is the attribute HDCP-LEVEL of the variants in a multivariant playlist: NONE, TYPE-0 or TYPE-1.
func (g Group) HDCPLevel() string {
	switch {
	case g.HDCP >= HDCP22:
		return hdcpLevelType1
	case g.HDCP > HDCPNone:
		return hdcpLevelType0
	default:
		return hdcpLevelNone
	}
}

// EMEConfiguration is a MediaKeySystemConfiguration, with which a page asks for a key system.
type EMEConfiguration struct {
	InitDataTypes     []string        `json:"initDataTypes"`
	AudioCapabilities []EMECapability `json:"audioCapabilities"`
	VideoCapabilities []EMECapability `json:"videoCapabilities"`
	PersistentState   string          `json:"persistentState"`
	SessionTypes      []string        `json:"sessionTypes"`
}

// EMECapability is a MediaKeySystemMediaCapability.
type EMECapability struct {
	ContentType      string `json:"contentType"`
	Robustness       string `json:"robustness,omitempty"`
	EncryptionScheme string `json:"encryptionScheme,omitempty"`
}

// KeySystem returns the name by which a page asks for the system, and nothing for a system that is none of GroupSystems.
func (s SystemID) KeySystem() string {
	switch s {
	case SystemClearKey:
		return "org.w3.clearkey"
	case SystemWidevine:
		return "com.widevine.alpha"
	case SystemPlayReady:
		return "com.microsoft.playready.recommendation"
	case SystemFairPlay:
		return "com.apple.fps"
	default:
		return ""
	}
}

// EME returns the configuration with which a page asks for system under this group. The content types are those of AVC and AAC; a page
// puts in those of the stream. With scheme auto a configuration that allows for either scheme names none.
func (g Group) EME(system SystemID) EMEConfiguration {
	c := EMEConfiguration{InitDataTypes: []string{"cenc"}, PersistentState: "optional", SessionTypes: []string{"temporary"}}
	if g.License.Persistent && system != SystemClearKey { // no browser keeps its licenses, and would refuse the configuration
		c.PersistentState, c.SessionTypes = "required", []string{"persistent-license"}
	}
	video := EMECapability{ContentType: `video/mp4; codecs="avc1.640028"`}
	audio := EMECapability{ContentType: `audio/mp4; codecs="mp4a.40.2"`}
	if g.Scheme.Common() {
		video.EncryptionScheme = g.Scheme.String()
	}
	switch system {
	case SystemWidevine:
		p := g.Widevine()
		video.Robustness, audio.Robustness = p.VideoRobustness, p.AudioRobustness
	case SystemPlayReady:
		p := g.PlayReady()
		video.Robustness, audio.Robustness = playReadyRobustness(p.SecurityLevel), playReadyRobustness(p.AudioSecurityLevel)
	case SystemFairPlay:
		c.InitDataTypes = []string{"sinf", "skd"}
		video.EncryptionScheme = SchemeCbcs.String()
	}
	audio.EncryptionScheme = video.EncryptionScheme
	c.VideoCapabilities, c.AudioCapabilities = []EMECapability{video}, []EMECapability{audio}
	return c
}

func playReadyRobustness(level int) string {
	if level == 3000 {
		return "3000"
	}
	return "2000"
}
