package drm

import (
	"fmt"
	"time"
)

// Level is how well keys and pictures have to be guarded on the device. The zero value is LevelLow.
type Level uint8

// The levels.
const (
	// LevelLow is met by software: Widevine L3, PlayReady SL2000.
	LevelLow Level = iota
	// LevelMedium asks for decoding in software that is guarded, or keys in hardware: Widevine robustness 3, PlayReady SL2000.
	LevelMedium
	// LevelHigh keeps keys and pictures in hardware: Widevine L1, PlayReady SL3000, FairPlay with HDCP.
	LevelHigh
)

var levelNames = [...]string{LevelLow: "low", LevelMedium: "medium", LevelHigh: "high"}

// ParseLevel reads `low`, `medium` or `high`.
func ParseLevel(s string) (Level, error) {
	for level, name := range levelNames {
		if s == name {
			return Level(level), nil
		}
	}
	return 0, fmt.Errorf("level %q: want low, medium or high", s)
}

// String returns the word of configurations.
func (l Level) String() string { return levelNames[l] }

// Group is a DRM group: what holds for the protection of its content, in words that every DRM system can be told. The zero Group is
// the default: temporary licenses, no rotation, low level.
type Group struct {
	// Name is how sites, titles and seals name the group. It is part of the derivation of keys: another name, other keys.
	Name  string
	Level Level
	// License is how long licenses last.
	License LicenseTerms
	// Rotate is the length of a crypto period. Zero: keys do not rotate.
	Rotate time.Duration
	// Scheme is the scheme of Common Encryption; zero chooses for each player.
	Scheme ProtectionScheme
	// Systems are those that manifests signal, in that order. None: SystemClearKey alone.
	Systems []SystemID
	// HDCP is what video output needs at least.
	HDCP HDCP
	// ClearLead is how much of the beginning of a title on demand stays clear.
	ClearLead time.Duration
	// PlayReadyHeader is the version of PlayReady headers; zero chooses by what has to be said.
	PlayReadyHeader PlayReadyVersion
	// PsshInInit writes pssh boxes of the systems into init segments, besides the common one.
	PsshInInit bool
}

// LicenseTerms are the terms of a license. The zero value is a temporary license without an end of its own.
type LicenseTerms struct {
	// Persistent licenses may be kept on the device.
	Persistent bool
	// Duration is how long a license lives at most. Zero: as long as its session.
	Duration time.Duration
	// Rental is how long a persistent license may wait for its first use, Playback how long it lasts from then on. Zero: Duration alone.
	Rental, Playback time.Duration
	// Renew is when a license asks to be renewed, counted from its issue. Zero: never.
	Renew time.Duration
}

// HDCP is a version of HDCP that outputs need. The zero value needs none.
type HDCP uint8

// The versions that DRM systems tell apart.
const (
	HDCPNone HDCP = iota
	HDCP1         // any version 1
	HDCP20
	HDCP21
	HDCP22
	HDCP23
)

// PlayReadyVersion is a version of the PlayReady header.
type PlayReadyVersion uint8

// The versions of the header.
const (
	PlayReady40 PlayReadyVersion = iota + 1 // one KID, cenc
	PlayReady41                             // one KID, cenc
	PlayReady42                             // several KIDs, cenc
	PlayReady43                             // several KIDs, cenc or cbcs
)
