package entitlement

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testNow = time.Unix(1_767_225_600, 0)

var testQuestion = Question{
	Event: Start, Tenant: "north", Asset: "/vod/demo/", Path: "/vod/demo/a.mpd", Host: "media.example", Protocol: "dash", Token: "secret&token", Subject: "viewer",
	Device: "tv", TokenID: "0123456789abcdef", Addr: netip.MustParseAddr("192.0.2.7"), Country: "AT", ASN: 64500, UserAgent: "Player/1", Referer: "https://a.example/",
	AssetClients: 3, Clients: 9,
}
