package drm

import (
	"fmt"
	"strings"
)

// Systems whose boxes are named when they are met, and no more (DASH-IF content protection identifiers).
var (
	systemAES128        = SystemID{0x3e, 0xa8, 0x77, 0x8f, 0x77, 0x42, 0x4b, 0xf9, 0xb1, 0x8b, 0xe8, 0x34, 0xb2, 0xac, 0xbd, 0x47}
	systemSampleAES     = SystemID{0xbe, 0x58, 0x61, 0x5b, 0x19, 0xc4, 0x46, 0x84, 0x88, 0xb3, 0xc8, 0xc5, 0x7e, 0x99, 0xe9, 0x57}
	systemAES128SPEKE   = SystemID{0x81, 0x37, 0x68, 0x44, 0xf9, 0x76, 0x48, 0x1e, 0xa8, 0x4e, 0xcc, 0x25, 0xd3, 0x9b, 0x0b, 0x33}
	systemMarlin        = SystemID{0x5e, 0x62, 0x9a, 0xf5, 0x38, 0xda, 0x40, 0x63, 0x89, 0x77, 0x97, 0xff, 0xbd, 0x99, 0x02, 0xd4}
	systemIrdeto        = SystemID{0x80, 0xa6, 0xbe, 0x7e, 0x14, 0x48, 0x4c, 0x37, 0x9e, 0x70, 0xd5, 0xae, 0xbe, 0x04, 0xc8, 0xd2}
	systemNagra         = SystemID{0xad, 0xb4, 0x1c, 0x24, 0x2d, 0xbf, 0x4a, 0x6d, 0x95, 0x8b, 0x44, 0x57, 0xc0, 0xd2, 0x7b, 0x95}
	systemVerimatrix    = SystemID{0x9a, 0x27, 0xdd, 0x82, 0xfd, 0xe2, 0x47, 0x25, 0x8c, 0xbc, 0x42, 0x34, 0xaa, 0x06, 0xec, 0x09}
	systemViaccessOrca  = SystemID{0xb4, 0x41, 0x35, 0x86, 0xc5, 0x8c, 0xff, 0xb0, 0x94, 0xa5, 0xd4, 0x89, 0x6c, 0x1a, 0xf6, 0xc3}
	systemWisePlay      = SystemID{0x3d, 0x5e, 0x6d, 0x35, 0x9b, 0x9a, 0x41, 0xe8, 0xb8, 0x43, 0xdd, 0x3c, 0x6e, 0x72, 0xc4, 0x2c}
	systemAdobe         = SystemID{0xf2, 0x39, 0xe7, 0x69, 0xef, 0xa3, 0x48, 0x50, 0x9c, 0x16, 0xa9, 0x03, 0xc6, 0x93, 0x2e, 0xfb}
	systemCiscoVideoGrd = SystemID{0xa6, 0x81, 0x29, 0xd3, 0x57, 0x5b, 0x4f, 0x1a, 0x9c, 0xba, 0x32, 0x23, 0x84, 0x6c, 0xf7, 0xc3}
)

// systemNames are the names under which the systems are known.
var systemNames = map[SystemID]string{
	SystemCommon:        "W3C common",
	SystemClearKey:      "ClearKey",
	SystemWidevine:      "Widevine",
	SystemPlayReady:     "PlayReady",
	SystemFairPlay:      "FairPlay",
	systemAES128:        "HLS AES-128",
	systemSampleAES:     "HLS SAMPLE-AES",
	systemAES128SPEKE:   "AES-128 of SPEKE 1",
	systemMarlin:        "Marlin",
	systemIrdeto:        "Irdeto",
	systemNagra:         "Nagra",
	systemVerimatrix:    "Verimatrix VCAS",
	systemViaccessOrca:  "Viaccess-Orca",
	systemWisePlay:      "WisePlay",
	systemAdobe:         "Adobe Primetime",
	systemCiscoVideoGrd: "Cisco VideoGuard",
}

// GroupSystems are the systems that a group may name, those that hand out licenses, in the order of documentation.
var GroupSystems = [...]SystemID{SystemClearKey, SystemWidevine, SystemPlayReady, SystemFairPlay}

// Name returns the name under which the system is known, or its UUID.
func (s SystemID) Name() string {
	if name, ok := systemNames[s]; ok {
		return name
	}
	return s.String()
}

// Word returns the word of configurations for one of GroupSystems, and the UUID of any other system.
func (s SystemID) Word() string {
	for _, system := range GroupSystems {
		if s == system {
			return strings.ToLower(s.Name())
		}
	}
	return s.String()
}

// ParseSystem reads `clearkey`, `widevine`, `playready` or `fairplay`.
func ParseSystem(word string) (SystemID, error) {
	for _, system := range GroupSystems {
		if word == system.Word() {
			return system, nil
		}
	}
	return SystemID{}, fmt.Errorf("system %q: want clearkey, widevine, playready or fairplay", word)
}

// HasPssh reports whether the system has initialization data of its own that fits into a pssh box and that this package can
// write. FairPlay has none, and ClearKey uses the box of the common system.
func (s SystemID) HasPssh() bool { return s == SystemWidevine || s == SystemPlayReady }
