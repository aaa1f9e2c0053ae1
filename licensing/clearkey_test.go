package licensing

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/drm"
)

// kidText returns the KID of testKey(n) as ClearKey writes it.
func kidText(n byte) string { return testKID(n).Base64URL() }

func testKID(n byte) (k drm.KID) {
	for i := range k {
		k[i] = n
	}
	return k
}

func manyKIDs(n int) string {
	var kids []string
	for i := range n {
		kids = append(kids, `"`+testKID(byte(i+1)).Base64URL()+`"`)
	}
	return `{"kids":[` + strings.Join(kids, ",") + `]}`
}

var soundRequests = []struct {
	name, body string
	want       []byte
}{
	{"one KID", `{"kids":["` + kidText(1) + `"],"type":"temporary"}`, []byte{1}},
	{"no type, as old browsers", `{"kids":["` + kidText(1) + `"]}`, []byte{1}},
	{"type first", `{"type":"temporary","kids":["` + kidText(1) + `"]}`, []byte{1}},
	{"persistent", `{"kids":["` + kidText(1) + `"],"type":"persistent-license"}`, []byte{1}},
	{"order is kept", `{"kids":["` + kidText(3) + `","` + kidText(1) + `"]}`, []byte{3, 1}},
	{"a KID twice counts once", `{"kids":["` + kidText(3) + `","` + kidText(1) + `","` + kidText(3) + `"]}`, []byte{3, 1}},
	{"undefined members are skipped", `{"x":{"kids":[7]},"kids":["` + kidText(1) + `"],"y":null}`, []byte{1}},
	{"another case is another member", `{"kids":["` + kidText(1) + `"],"KIDS":["` + kidText(2) + `"]}`, []byte{1}},
	{"white space", " {\n\"kids\" : [ \"" + kidText(1) + "\" ] }\r\n", []byte{1}},
}

func TestParseClearKeyRequest(t *testing.T) {
	for _, tt := range soundRequests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := ParseClearKeyRequest([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			var want []drm.KID
			for _, n := range tt.want {
				want = append(want, testKID(n))
			}
			if diff := cmp.Diff(want, req.KIDs); diff != "" {
				t.Error(diff)
			}
		})
	}
	req, err := ParseClearKeyRequest([]byte(manyKIDs(MaxClearKeyKIDs)))
	if err != nil || len(req.KIDs) != MaxClearKeyKIDs {
		t.Errorf("as many KIDs as allowed: %d, error %v", len(req.KIDs), err)
	}
}

var refusedRequests = []struct {
	name, body string
	want       error
}{
	{"empty", ``, ErrMalformed},
	{"null", `null`, ErrMalformed},
	{"array", `["` + kidText(1) + `"]`, ErrMalformed},
	{"cut", `{"kids":["` + kidText(1), ErrMalformed},
	{"cut behind kids", `{"kids":["` + kidText(1) + `"]`, ErrMalformed},
	{"cut behind a name", `{"kids"`, ErrMalformed},
	{"bytes behind", `{"kids":["` + kidText(1) + `"]}x`, ErrMalformed},
	{"second object", `{"kids":["` + kidText(1) + `"]}{}`, ErrMalformed},
	{"not UTF-8", "{\"kids\":[\"" + kidText(1) + "\"],\"x\":\"\xff\"}", ErrMalformed},
	{"UTF-16", "\xff\xfe{\x00", ErrMalformed},
	{"no kids", `{"type":"temporary"}`, ErrMalformed},
	{"empty kids", `{"kids":[],"type":"temporary"}`, ErrMalformed},
	{"kids is null", `{"kids":null}`, ErrMalformed},
	{"kids is a string", `{"kids":"` + kidText(1) + `"}`, ErrMalformed},
	{"a KID is null", `{"kids":[null]}`, ErrMalformed},
	{"a KID is a number", `{"kids":[1]}`, ErrMalformed},
	{"kids twice", `{"kids":["` + kidText(1) + `"],"kids":["` + kidText(2) + `"]}`, ErrMalformed},
	{"kids twice, once with an escape", `{"kids":["` + kidText(1) + `"],"k\u0069ds":["` + kidText(2) + `"]}`, ErrMalformed},
	{"padding", `{"kids":["` + kidText(1) + `=="]}`, ErrMalformed},
	{"standard alphabet", `{"kids":["` + base64.RawStdEncoding.EncodeToString([]byte("\xff\xff\xfe0123456789abc")) + `"]}`, ErrMalformed},
	{"bits behind the last byte", `{"kids":["ASNFZ4mrze8BI0VniavN7x"]}`, ErrMalformed},
	{"15 bytes", `{"kids":["` + kidText(1)[:20] + `"]}`, ErrMalformed},
	{"UUID", `{"kids":["` + testKID(1).String() + `"]}`, ErrMalformed},
	{"one bad KID among good ones", `{"kids":["` + kidText(1) + `","x"]}`, ErrMalformed},
	{"line break in a KID", `{"kids":["` + kidText(1)[:11] + `\n` + kidText(1)[11:] + `"]}`, ErrMalformed},
	{"too many KIDs", manyKIDs(MaxClearKeyKIDs + 1), ErrMalformed},
	{"type is null", `{"kids":["` + kidText(1) + `"],"type":null}`, ErrMalformed},
	{"type is a number", `{"kids":["` + kidText(1) + `"],"type":1}`, ErrMalformed},
	{"a record of usage, which EME has no more", `{"kids":["` + kidText(1) + `"],"type":"persistent-usage-record"}`, ErrUnsupportedType},
	{"unknown type", `{"kids":["` + kidText(1) + `"],"type":"Temporary"}`, ErrUnsupportedType},
	{"empty type", `{"kids":["` + kidText(1) + `"],"type":""}`, ErrUnsupportedType},
	{"too long", strings.Repeat(" ", MaxClearKeyRequestSize) + vectorRequest, ErrMalformed},
	{"deep", `{"x":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `,"kids":["` + kidText(1) + `"]}`, ErrMalformed},
}

func TestParseClearKeyRequestRefuses(t *testing.T) {
	for _, tt := range refusedRequests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := ParseClearKeyRequest([]byte(tt.body))
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if req.KIDs != nil {
				t.Error("an error came with KIDs")
			}
		})
	}
}

func TestBuildClearKeyLicense(t *testing.T) {
	allowed := []drm.ContentKey{testKey(t, 1), testKey(t, 2), testKey(t, 3)}
	for _, tt := range []struct {
		name string
		ask  []byte
		want []byte
	}{
		{"all, in the order of the request", []byte{3, 1, 2}, []byte{3, 1, 2}},
		{"only what was asked for", []byte{2}, []byte{2}},
		{"what is not allowed stays out", []byte{9, 2, 8}, []byte{2}},
		{"twice counts once", []byte{2, 2}, []byte{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var req ClearKeyRequest
			for _, n := range tt.ask {
				req.KIDs = append(req.KIDs, testKID(n))
			}
			license, err := BuildClearKeyLicense(allowed, req)
			if err != nil {
				t.Fatal(err)
			}
			var set struct {
				Keys []map[string]string `json:"keys"`
				Type string              `json:"type"`
			}
			if err := json.Unmarshal(license, &set); err != nil {
				t.Fatal(err)
			}
			var want []map[string]string
			for _, n := range tt.want {
				secret := testKey(t, n).Secret()
				want = append(want, map[string]string{"kty": "oct", "kid": kidText(n), "k": base64.RawURLEncoding.EncodeToString(secret[:])})
			}
			if diff := cmp.Diff(want, set.Keys); diff != "" {
				t.Error(diff)
			}
			if set.Type != "temporary" {
				t.Errorf("type %q", set.Type)
			}
			req.Type = SessionPersistent
			persistent, err := BuildClearKeyLicense(allowed, req)
			if want := strings.Replace(string(license), "temporary", "persistent-license", 1); err != nil || string(persistent) != want {
				t.Errorf("the persistent license is another one: %v", err)
			}
		})
	}
}

func TestBuildClearKeyLicenseRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		allowed []drm.ContentKey
		req     ClearKeyRequest
	}{
		"nothing allowed":      {nil, ClearKeyRequest{KIDs: []drm.KID{testKID(1)}}},
		"nothing asked for":    {[]drm.ContentKey{testKey(t, 1)}, ClearKeyRequest{}},
		"a neighbor's KID":     {[]drm.ContentKey{testKey(t, 1)}, ClearKeyRequest{KIDs: []drm.KID{testKID(2)}}},
		"zero KID, zero key":   {[]drm.ContentKey{{}}, ClearKeyRequest{KIDs: []drm.KID{{}}}},
		"zero KID, sound keys": {[]drm.ContentKey{testKey(t, 1)}, ClearKeyRequest{KIDs: []drm.KID{{}}}},
	} {
		license, err := BuildClearKeyLicense(tt.allowed, tt.req)
		if !errors.Is(err, ErrNoKeys) || license != nil {
			t.Errorf("%s: %d bytes, error %v; want ErrNoKeys alone", name, len(license), err)
		}
	}
}

func TestRawKey(t *testing.T) {
	allowed := []drm.ContentKey{testKey(t, 1), testKey(t, 2)}
	b, err := RawKey(allowed, testKID(2))
	if err != nil {
		t.Fatal(err)
	}
	if want := testKey(t, 2).Secret(); len(b) != 16 || !slices.Equal(b, want[:]) {
		t.Errorf("%d bytes, or another key", len(b))
	}
	for _, kid := range []drm.KID{testKID(3), {}} {
		if b, err := RawKey(allowed, kid); !errors.Is(err, ErrNoKeys) || b != nil {
			t.Errorf("KID %s: %d bytes, error %v; want ErrNoKeys alone", kid, len(b), err)
		}
	}
}

// TestErrorsHoldNoKey asks for and about keys in every way that fails.
func TestErrorsHoldNoKey(t *testing.T) {
	key := testKey(t, 1)
	secret := key.Secret()
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	for _, body := range []string{
		`{"kids":["` + text + `x"]}`, `{"` + text + `":1,"` + text + `":2}`, `{"kids":["` + kidText(1) + `"],"type":"` + text + `"}`,
		`{"kids":` + text + `}`, `{"kids":["` + kidText(1) + `"]}` + text, text,
	} {
		_, err := ParseClearKeyRequest([]byte(body))
		if err == nil {
			t.Errorf("accepted %q", body)
			continue
		}
		for _, s := range []string{text[:8], hex.EncodeToString(secret[:4])} {
			if strings.Contains(err.Error(), s) {
				t.Errorf("error quotes the request: %v", err)
			}
		}
	}
	_, err := RawKey([]drm.ContentKey{key}, testKID(2))
	if s := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(s, hex.EncodeToString(secret[:4])) {
		t.Error("error holds a key")
	}
}

func FuzzParseClearKeyRequest(f *testing.F) {
	for _, tt := range soundRequests {
		f.Add([]byte(tt.body))
	}
	for _, tt := range refusedRequests {
		if len(tt.body) < 4096 {
			f.Add([]byte(tt.body))
		}
	}
	for _, vector := range []string{vectorRequest, vectorPersistent, vectorRelease} {
		f.Add([]byte(vector))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := ParseClearKeyRequest(body)
		if err != nil {
			if req.KIDs != nil {
				t.Fatal("an error came with KIDs")
			}
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupportedType) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if len(req.KIDs) == 0 || len(req.KIDs) > MaxClearKeyKIDs {
			t.Fatalf("%d KIDs", len(req.KIDs))
		}
		for _, kid := range req.KIDs {
			// A JSON string may spell a character as an escape; otherwise the KID stands in the body as it is.
			if !strings.Contains(string(body), kid.Base64URL()) && !strings.Contains(string(body), `\u`) {
				t.Fatalf("KID %s is not in the request", kid)
			}
		}
		if req.Type != "" && req.Purpose(true) != PurposeLicense || req.Purpose(false) != PurposeLicense {
			t.Fatal("a request that names its type, or that nothing could be released by, is taken for a release")
		}
		again, err := ParseClearKeyRequest(BuildClearKeyAcknowledgment(req))
		if err != nil || !slices.Equal(again.KIDs, req.KIDs) || again.Type != "" || again.Purpose(true) != PurposeRelease {
			t.Fatalf("the acknowledgment reads as %v, %v", again, err)
		}
	})
}

func BenchmarkClearKeyExchange(b *testing.B) {
	allowed := []drm.ContentKey{vectorKey(b), testKey(b, 1)}
	b.ReportAllocs()
	for b.Loop() {
		req, err := ParseClearKeyRequest([]byte(vectorRequest))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := BuildClearKeyLicense(allowed, req); err != nil {
			b.Fatal(err)
		}
	}
}
