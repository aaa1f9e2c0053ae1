package cat

import "fmt"

// Labels of claims (IANA CWT Claims; CTA-5007-B, 4.6–4.9).
const (
	Issuer       int64 = 1
	Subject      int64 = 2
	Audience     int64 = 3
	Expires      int64 = 4
	NotBefore    int64 = 5
	IssuedAt     int64 = 6
	ID           int64 = 7
	Replay       int64 = 308 // catreplay
	Version      int64 = 310 // catv
	NetworkIP    int64 = 311 // catnip
	URI          int64 = 312 // catu
	Method       int64 = 313 // catm
	ALPN         int64 = 314 // catalpn
	Header       int64 = 315 // cath
	GeoISO3166   int64 = 316 // catgeoiso3166
	IfData       int64 = 320 // catifdata
	If           int64 = 322 // catif
	Renewal      int64 = 323 // catr
	labelCnf           = 8
	labelGeohash       = 282
	labelPOR           = 309
)

// claimNames are the names of the claims that this package knows, of those that it refuses too.
var claimNames = map[int64]string{
	Issuer: "iss", Subject: "sub", Audience: "aud", Expires: "exp", NotBefore: "nbf", IssuedAt: "iat", ID: "cti", labelCnf: "cnf",
	labelGeohash: "geohash", Replay: "catreplay", labelPOR: "catpor", Version: "catv", NetworkIP: "catnip", URI: "catu", Method: "catm",
	ALPN: "catalpn", Header: "cath", GeoISO3166: "catgeoiso3166", 317: "catgeocoord", 318: "catgeoalt", 319: "cattpk", IfData: "catifdata",
	321: "catdpop", If: "catif", Renewal: "catr",
	// Their numbers differ between implementations, so that nobody knows what a token with one of them demands.
	41: "or or an unregistered claim", 42: "nor or an unregistered claim", 43: "and or an unregistered claim",
	44: "enc or an unregistered claim", 45: "crit or an unregistered claim", 275: "catdpopw or an unregistered claim",
	324: "cattprint or a composite claim", 325: "a composite claim", 326: "a composite claim", 327: "moqt", 328: "moqt-reval",
}

func claimName(label int64) string {
	if name, ok := claimNames[label]; ok {
		return name
	}
	return fmt.Sprintf("claim %d", label)
}

// Parts of a URI in catu, and the ways to match one (CTA-5007-B, 4.6.10).
const (
	PartScheme     int64 = 0
	PartHost       int64 = 1
	PartPort       int64 = 2
	PartPath       int64 = 3
	PartQuery      int64 = 4
	PartParentPath int64 = 5
	PartFilename   int64 = 6
	PartStem       int64 = 7
	PartExtension  int64 = 8

	MatchExact     int64 = 0
	MatchPrefix    int64 = 1
	MatchSuffix    int64 = 2
	MatchContains  int64 = 3
	MatchRegex     int64 = 4
	MatchSHA256    int64 = -1
	MatchSHA512256 int64 = -2
)

var partNames = [...]string{"scheme", "host", "port", "path", "query", "parent path", "filename", "stem", "extension"}

var matchNames = map[int64]string{
	MatchExact: "is", MatchPrefix: "begins with", MatchSuffix: "ends with", MatchContains: "contains", MatchRegex: "matches",
	MatchSHA256: "has the SHA-256 digest", MatchSHA512256: "has the SHA-512/256 digest",
}

// Keys of catr (CTA-5007-B, 4.9.2), and its types.
const (
	renewType int64 = iota
	renewExpAdd
	renewDeadline
	renewCookieName
	renewHeaderName
	renewCookieParams
	renewHeaderParams
	renewStatus
)

// Tags of CBOR, and labels and algorithms of COSE (RFC 8392, 6; RFC 9052; RFC 9053; RFC 9164).
const (
	tagCWT   = 61
	tagMac0  = 17
	tagSign1 = 18
	tagIPv4  = 52
	tagIPv6  = 54

	headerAlg  int64 = 1
	headerCrit int64 = 2
	headerKID  int64 = 4
)
