package speke

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/cpix"
)

// talkative says everything that there is to say of every system.
func talkative(system drm.SystemID, key drm.ContentKey, _ drm.ProtectionScheme) (keysource.Signal, bool) {
	s := keysource.Signal{
		Pssh: drm.AppendPssh(nil, drm.Pssh{System: system, Data: []byte{1}}), ContentProtection: []byte("<a>1</a>"), HLSMedia: []byte("#EXT-X-KEY:METHOD=SAMPLE-AES"),
		HLSMultivariant: []byte("#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES"), HLSKeyURI: "skd://" + key.KID().Hex(), HLSKeyFormat: "f", HLSKeyFormatVersions: "1",
		PlayReadyHeader: []byte{1, 2},
	}
	return s, true
}

const elementsKID = "98ee5596-cd3e-a20d-163a-e382420c6eff"

// spekeDocument is a question about one key and one system, as packagers write it.
func spekeDocument(attributes, scheme, system, elements, rules string) string {
	return fmt.Sprintf(`<cpix:CPIX %s xmlns:cpix="urn:dashif:org:cpix" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc" xmlns:speke="urn:aws:amazon:com:speke">
<cpix:ContentKeyList><cpix:ContentKey kid="%s"%s/></cpix:ContentKeyList>
<cpix:DRMSystemList><cpix:DRMSystem kid="%[2]s" systemId="%[4]s">%[5]s</cpix:DRMSystem></cpix:DRMSystemList>%[6]s</cpix:CPIX>`,
		attributes, elementsKID, scheme, system, elements, rules)
}

const (
	wholeTitleRule = `<cpix:ContentKeyUsageRuleList><cpix:ContentKeyUsageRule kid="` + elementsKID + `" intendedTrackType="ALL"><cpix:VideoFilter/><cpix:AudioFilter/>` +
		`</cpix:ContentKeyUsageRule></cpix:ContentKeyUsageRuleList>`
	version2Attributes = `contentId="abc123" version="2.3"`
	cbcsAttribute      = ` commonEncryptionScheme="cbcs"`
)

// TestAnswersHoldWhatWasAskedFor: packagers fill their manifests from the elements that they name, and look at no others.
func TestAnswersHoldWhatWasAskedFor(t *testing.T) {
	server, err := NewServer(ServerConfig{Secret: testSecret(t, testSecretText), AllowClear: true, Signal: talkative})
	if err != nil {
		t.Fatal(err)
	}
	const all = `<cpix:PSSH/><cpix:ContentProtectionData/><cpix:HLSSignalingData playlist="media"/><cpix:HLSSignalingData playlist="master"/><cpix:SmoothStreamingProtectionHeaderData/>`
	for name, test := range map[string]struct {
		version, attributes, scheme, elements, rules string
		want                                         string
	}{
		"all of SPEKE 2": {
			"2.0", version2Attributes, cbcsAttribute, all, wholeTitleRule, "PSSH ContentProtectionData master media SmoothStreamingProtectionHeaderData",
		},
		"a packager of HLS alone": {"2.0", version2Attributes, cbcsAttribute, `<cpix:HLSSignalingData playlist="media"></cpix:HLSSignalingData>`, wholeTitleRule, "media"},
		"one kind of playlist":    {"2.0", version2Attributes, cbcsAttribute, `<cpix:HLSSignalingData playlist="master"/>`, wholeTitleRule, "master"},
		"a packager of DASH":      {"2.0", version2Attributes, cbcsAttribute, `<cpix:PSSH></cpix:PSSH><cpix:ContentProtectionData/>`, wholeTitleRule, "PSSH ContentProtectionData"},
		"nothing named": {
			"2.0", version2Attributes, cbcsAttribute, "", wholeTitleRule, "PSSH ContentProtectionData master media SmoothStreamingProtectionHeaderData",
		},
		"SPEKE 1": {"", `id="abc123"`, "", `<cpix:URIExtXKey/><speke:KeyFormat/><speke:KeyFormatVersions/>`, "", "URIExtXKey KeyFormat KeyFormatVersions"},
		"SPEKE 1, nothing named": {
			"", `id="abc123"`, "", "", "", "PSSH URIExtXKey KeyFormat KeyFormatVersions ProtectionHeader",
		},
		"SPEKE 1, PlayReady": {"", `id="abc123"`, "", `<speke:ProtectionHeader/><cpix:PSSH/>`, "", "PSSH ProtectionHeader"},
	} {
		t.Run(name, func(t *testing.T) {
			body := spekeDocument(test.attributes, test.scheme, drm.SystemWidevine.String(), test.elements, test.rules)
			answer := server.Answer(Question{Tenant: "one.example", Version: test.version, Body: []byte(body)})
			if answer.Status != 200 {
				t.Fatalf("%d %s", answer.Status, answer.Body)
			}
			if _, err := cpix.Parse(answer.Body, cpix.ParseOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := elementsOf(string(answer.Body)); got != test.want {
				t.Errorf("filled %s, want %s\n%s", got, test.want, answer.Body)
			}
		})
	}
}

// elementsOf lists the elements of the one DRMSystem that have content; those of HLSSignalingData by their playlist.
func elementsOf(document string) string {
	_, rest, _ := strings.Cut(document, "<cpix:DRMSystem ")
	_, rest, _ = strings.Cut(rest, ">")
	inside, _, _ := strings.Cut(rest, "</cpix:DRMSystem>")
	var names []string
	for element := range strings.SplitSeq(inside, "</") {
		begin := strings.LastIndexByte(element, '<')
		if begin < 0 || strings.HasSuffix(element, ">") {
			continue
		}
		name, _, _ := strings.Cut(element[begin+1:], ">")
		if _, playlist, ok := strings.Cut(name, `playlist="`); ok {
			name = strings.TrimSuffix(playlist, `"`)
		}
		_, local, _ := strings.Cut(":"+name, ":")
		if _, after, ok := strings.Cut(local, ":"); ok {
			local = after
		}
		names = append(names, local)
	}
	return strings.Join(names, " ")
}

// TestVersion2Demands: what SPEKE 2 makes mandatory is refused without, as packagers' suites of tests expect of key servers.
func TestVersion2Demands(t *testing.T) {
	const pssh = "<cpix:PSSH/>"
	widevine := drm.SystemWidevine.String()
	good := spekeDocument(version2Attributes, cbcsAttribute, widevine, pssh, wholeTitleRule)
	systems := good[strings.Index(good, "<cpix:DRMSystemList>") : strings.Index(good, "</cpix:DRMSystemList>")+len("</cpix:DRMSystemList>")]
	twoTypes := strings.Replace(wholeTitleRule, "</cpix:ContentKeyUsageRuleList>",
		`<cpix:ContentKeyUsageRule kid="`+elementsKID+`" intendedTrackType="SD"><cpix:VideoFilter/></cpix:ContentKeyUsageRule></cpix:ContentKeyUsageRuleList>`, 1)
	for name, test := range map[string]struct {
		body   string
		status int
	}{
		"all there":               {good, 200},
		"no systems":              {strings.Replace(good, systems, "", 1), 422},
		"an empty list":           {strings.Replace(good, systems, "<cpix:DRMSystemList/>", 1), 422},
		"FairPlay under cenc":     {spekeDocument(version2Attributes, ` commonEncryptionScheme="cenc"`, drm.SystemFairPlay.String(), pssh, wholeTitleRule), 422},
		"no filter":               {strings.Replace(good, "<cpix:VideoFilter/><cpix:AudioFilter/>", "", 1), 422},
		"ALL beside another type": {spekeDocument(version2Attributes, cbcsAttribute, widevine, pssh, twoTypes), 422},
	} {
		t.Run(name, func(t *testing.T) {
			answer := testServer(t, testSecretText, true).Answer(Question{Tenant: "one.example", Version: "2.0", Body: []byte(test.body)})
			if answer.Status != test.status {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
		})
	}
}

// TestSPEKE1NamesNoScheme: a packager of SPEKE 1 asks for keys of its own names, and each system is told of the scheme that it had then.
func TestSPEKE1NamesNoScheme(t *testing.T) {
	told := make(map[drm.SystemID]drm.ProtectionScheme)
	server, err := NewServer(ServerConfig{Secret: testSecret(t, testSecretText), AllowClear: true, Signal: func(
		system drm.SystemID, key drm.ContentKey, scheme drm.ProtectionScheme,
	) (keysource.Signal, bool) {
		told[system] = scheme
		return talkative(system, key, scheme)
	}})
	if err != nil {
		t.Fatal(err)
	}
	for system, want := range map[drm.SystemID]drm.ProtectionScheme{drm.SystemFairPlay: drm.SchemeCbcs, drm.SystemPlayReady: drm.SchemeCenc, drm.SystemWidevine: 0} {
		for version, attributes := range map[string]string{"SPEKE 1": `id="abc123"`, "CPIX": `contentId="abc123"`} {
			answer := server.Answer(Question{Tenant: "one.example", Body: []byte(spekeDocument(attributes, "", system.String(), "<cpix:PSSH/>", ""))})
			if expected := map[string]drm.ProtectionScheme{"SPEKE 1": want}[version]; answer.Status != 200 || told[system] != expected {
				t.Errorf("%s, %s: %d, told of %q", version, system.Word(), answer.Status, told[system])
			}
		}
	}
}

// TestAQuestionNamesASystem: SPEKE 2 demands one, also under a scheme in which those that are wanted have no part.
func TestAQuestionNamesASystem(t *testing.T) {
	for _, version := range []Version{V20, V21} {
		w := &wire{server: testServer(t, testSecretText, true), tenant: "one.example"}
		c, err := NewClient(Config{
			Transport: w, URL: "https://keys.example/speke", Version: version, Contract: testContract(t, Shared, Shared), Secret: testSecret(t, testSecretText),
			Systems: []drm.SystemID{drm.SystemFairPlay},
		})
		if err != nil {
			t.Fatal(err)
		}
		title := testTitle
		title.Scheme = drm.SchemeCenc
		if _, err := c.Fetch(t.Context(), title); err != nil {
			t.Errorf("%s: %v\n%s", version, err, w.answered.Body)
		}
	}
}
