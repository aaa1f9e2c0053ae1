package hls

import (
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

func TestKeysOfSystems(t *testing.T) {
	for name, test := range map[string]struct {
		key  Key
		want string
	}{
		"Widevine, cbcs": {
			WidevineKey(drm.SchemeCbcs, testKID, []byte("\x00\x00\x00\x08pssh")),
			`#EXT-X-KEY:METHOD=SAMPLE-AES,URI="data:text/plain;base64,AAAACHBzc2g=",KEYID=0x0123456789ABCDEF0123456789ABCDEF,KEYFORMAT="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",KEYFORMATVERSIONS="1"`,
		},
		"Widevine, cenc": {
			WidevineKey(drm.SchemeCenc, testKID, []byte{0xfb, 0xff}),
			`#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="data:text/plain;base64,+/8=",KEYID=0x0123456789ABCDEF0123456789ABCDEF,KEYFORMAT="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",KEYFORMATVERSIONS="1"`,
		},
		"PlayReady": {
			PlayReadyKey(drm.SchemeCbcs, []byte{6, 0, 0, 0, 0, 0}),
			`#EXT-X-KEY:METHOD=SAMPLE-AES,URI="data:text/plain;charset=UTF-16;base64,BgAAAAAA",KEYFORMAT="com.microsoft.playready",KEYFORMATVERSIONS="1"`,
		},
		"FairPlay": {
			FairPlayKey(drm.SchemeCbcs, "skd://k1?a=b"),
			`#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://k1?a=b",KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"`,
		},
	} {
		got, err := test.key.appendLine(nil, tagKey)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, test.want)
		}
		if test.key.version() != 5 {
			t.Errorf("%s: version %d, want 5", name, test.key.version())
		}
	}
	if KeyFormatWidevine != "urn:uuid:"+drm.SystemWidevine.String() {
		t.Errorf("Widevine is spelled %s", KeyFormatWidevine)
	}
}

func TestHDCPLevelFor(t *testing.T) {
	for version, want := range map[drm.HDCP]string{
		drm.HDCPNone: "NONE", drm.HDCP1: "TYPE-0", drm.HDCP20: "TYPE-0", drm.HDCP21: "TYPE-0", drm.HDCP22: "TYPE-1", drm.HDCP23: "TYPE-1",
	} {
		if got := HDCPLevelFor(version).String(); got != want {
			t.Errorf("HDCP %d: got %s, want %s", version, got, want)
		}
	}
}
