package keysource

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Fixture keys: the byte a1 and so on, 16 times, under the KID 01 and so on. testKey(n) is the same key as a value.
const (
	kid1, kid2, kid3, kid4 = "01010101010101010101010101010101", "02020202020202020202020202020202", "03030303030303030303030303030303", "04040404040404040404040404040404"
	key1, key2, key3, key4 = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2", "a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3", "a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4"
)

func b64(h string) string {
	b, err := hex.DecodeString(h)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func mustParseStatic(t testing.TB, data string, o StaticOptions) *Static {
	t.Helper()
	s, err := ParseStatic([]byte(data), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStaticArrayForm(t *testing.T) {
	const widevine = "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"
	list := `[{"pssh":[{"data":"` + base64.StdEncoding.EncodeToString([]byte("test data")) + `","uuid":"` + widevine + `"}],` +
		`"key":"` + b64(key1) + `","key_id":"` + b64(kid1) + `","iv":"` + b64("51515151515151515151515151515151") + `"}]`
	s := mustParseStatic(t, list, StaticOptions{Scheme: drm.SchemeCbcs})
	if s.Split() {
		t.Error("one key is split")
	}
	title := testTitle()
	title.Scheme = drm.SchemeCbcs
	for _, period := range []uint32{0, 7} {
		title.Period = period
		k, err := s.ContentKey(context.Background(), Request{title, drm.ClassShared})
		if err != nil {
			t.Fatal(err)
		}
		if k != testKey(1) {
			t.Errorf("period %d: key %s is not the one of the list", period, k)
		}
	}
	keys, err := s.ContentKeys(context.Background(), title)
	if err != nil || len(keys) != 1 || keys[0] != testKey(1) {
		t.Errorf("keys %v, error %v", keys, err)
	}
	title.Scheme = drm.SchemeCenc
	if _, err := s.ContentKey(context.Background(), Request{title, drm.ClassShared}); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("error %v for the other scheme, want ErrUnknownKey", err)
	}
	id, err := drm.ParseKID(widevine)
	if err != nil {
		t.Fatal(err)
	}
	want := []SystemData{{drm.SystemID(id), []byte("test data")}}
	if diff := cmp.Diff(want, s.LookupSystemData(testKey(1).KID())); diff != "" {
		t.Error(diff)
	}
	if s.LookupSystemData(testKey(2).KID()) != nil {
		t.Error("data for a KID that is not in the list")
	}
}

// TestStaticIVVector: echo -n 'caddy-drm static constant iv v1' followed by the 16 bytes of the KID, through sha256sum.
func TestStaticIVVector(t *testing.T) {
	s := mustParseStatic(t, `[{"key":"`+b64(key1)+`","key_id":"`+b64(kid1)+`"}]`, StaticOptions{Scheme: drm.SchemeCenc})
	k, err := s.ContentKey(context.Background(), Request{testTitle(), drm.ClassShared})
	if err != nil {
		t.Fatal(err)
	}
	iv := k.ConstantIV()
	if got, want := hex.EncodeToString(iv[:]), "838ea620df9512c02a143452b17c88fa"; got != want {
		t.Errorf("IV %s, want %s", got, want)
	}
}

func TestStaticMostSpecificEntryWins(t *testing.T) {
	const list = `{"keys":[
		{"kid":"01010101-0101-0101-0101-010101010101","key":"` + key1 + `","scheme":"cenc"},
		{"kid":"` + kid2 + `","key":"` + key2 + `","scheme":"cenc","asset":"/vod/*"},
		{"kid":"` + kid3 + `","key":"` + key3 + `","scheme":"cenc","asset":"/vod/premium/*"},
		{"kid":"` + kid4 + `","key":"` + key4 + `","scheme":"cenc","asset":"/vod/premium/one/"},
		{"kid":"05050505050505050505050505050505","key":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5","scheme":"cenc","asset":"/vod/premium/*","class":"HD"},
		{"kid":"06060606060606060606060606060606","key":"a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6","scheme":"cenc","asset":"/vod/premium/*","period":3},
		{"kid":"07070707070707070707070707070707","key":"a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7","scheme":"cenc","generation":1},
		{"kid":"08080808080808080808080808080808","key":"a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8","scheme":"cbcs"}
	]}`
	s := mustParseStatic(t, list, StaticOptions{})
	if !s.Split() {
		t.Fatal("an entry names a class, and the list is not split")
	}
	for _, tt := range []struct {
		name  string
		title Title
		class drm.TrackClass
		want  byte // 0: unknown
	}{
		{"every asset", Title{Asset: "/live/", Scheme: drm.SchemeCenc}, drm.ClassSD, 1},
		{"prefix", Title{Asset: "/vod/free/", Scheme: drm.SchemeCenc}, drm.ClassSD, 2},
		{"prefix is no directory above", Title{Asset: "/vo", Scheme: drm.SchemeCenc}, drm.ClassSD, 1},
		{"longer prefix", Title{Asset: "/vod/premium/two/", Scheme: drm.SchemeCenc}, drm.ClassSD, 3},
		{"asset", Title{Asset: "/vod/premium/one/", Scheme: drm.SchemeCenc}, drm.ClassSD, 4},
		{"asset before class", Title{Asset: "/vod/premium/one/", Scheme: drm.SchemeCenc}, drm.ClassHD, 4},
		{"an asset is no prefix", Title{Asset: "/vod/premium/one/x", Scheme: drm.SchemeCenc}, drm.ClassSD, 3},
		{"class", Title{Asset: "/vod/premium/two/", Scheme: drm.SchemeCenc}, drm.ClassHD, 5},
		{"period", Title{Asset: "/vod/premium/two/", Scheme: drm.SchemeCenc, Period: 3}, drm.ClassSD, 6},
		{"class before period", Title{Asset: "/vod/premium/two/", Scheme: drm.SchemeCenc, Period: 3}, drm.ClassHD, 5},
		{"next generation", Title{Asset: "/vod/premium/one/", Scheme: drm.SchemeCenc, Generation: 1}, drm.ClassSD, 7},
		{"generation without a key", Title{Asset: "/vod/", Scheme: drm.SchemeCenc, Generation: 2}, drm.ClassSD, 0},
		{"other scheme", Title{Asset: "/vod/premium/one/", Scheme: drm.SchemeCbcs}, drm.ClassSD, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.title.Tenant = "test.example"
			k, err := s.ContentKey(context.Background(), Request{tt.title, tt.class})
			if tt.want == 0 {
				if !errors.Is(err, ErrUnknownKey) {
					t.Errorf("error %v, want ErrUnknownKey", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if k.KID() != testKey(tt.want).KID() || k.Secret() != testKey(tt.want).Secret() {
				t.Errorf("key %s, want %s", k, testKey(tt.want))
			}
		})
	}
	keys, err := s.ContentKeys(context.Background(), Title{Tenant: "test.example", Asset: "/vod/premium/two/", Scheme: drm.SchemeCenc})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range keys {
		got = append(got, k.KID().Hex()[:2])
	}
	if diff := cmp.Diff([]string{"03", "05"}, got); diff != "" { // AUDIO, then HD; SD and the UHDs share the key of AUDIO
		t.Error(diff)
	}
	if keys, err := s.ContentKeys(context.Background(), Title{Tenant: "test.example", Asset: "/", Scheme: drm.SchemeCenc, Generation: 9}); !errors.Is(err, ErrUnknownKey) || keys != nil {
		t.Errorf("keys %v, error %v; want ErrUnknownKey alone", keys, err)
	}
}

// The refused lists, each with words of its error. No error quotes a value.
var refusedLists = []struct{ name, list, want string }{
	{"empty file", ``, "line 1: not JSON"},
	{"cut", `[{"key":"` + key1, "not JSON"},
	{"cut behind a member", `[{"key":"` + key1 + `"`, "[0]: not JSON"},
	{"bytes behind", `[] []`, "bytes behind"},
	{"not UTF-8", "[\"\xff\"]", "not UTF-8"},
	{"number", `7`, "not an array"},
	{"empty array", `[]`, "list of keys is empty"},
	{"empty object form", `{"keys":[]}`, "list of keys is empty"},
	{"keys is an object", `{"keys":{}}`, "not an array"},
	{"keys is null", `{"keys":null}`, "not an array"},
	{"other member beside keys", `{"keys":[],"version":1}`, `"keys"`},
	{"keys twice", `{"keys":[],"keys":[]}`, "keys: named twice"},
	{"element is a string", `["` + key1 + `"]`, "[0]: not an object"},
	{"unknown member of the array form", `[{"kid":"` + kid1 + `"}]`, "[0].kid: unknown member"},
	{"unknown member of the object form", `{"keys":[{"key_id":"` + b64(kid1) + `"}]}`, "keys[0].key_id: unknown member"},
	{"key in the place of a name", `{"keys":[{"` + key1 + `":1}]}`, "keys[0].(a member): unknown member"},
	{"key in base64 in the place of a name", `{"keys":[{"` + strings.TrimRight(b64(key1), "=") + `":1}]}`, "keys[0].(a member): unknown member"},
	{"misspelled member", `{"keys":[{"assets":1}]}`, "keys[0].assets: unknown member"},
	{"member twice", "{\"keys\":[{\"key\":\"" + key1 + "\",\n\"key\":\"" + key2 + `"}]}`, "line 2: keys[0].key: named twice"},
	{"member twice in other letters", `{"keys":[{"key":"` + key1 + `","KEY":"` + key2 + `"}]}`, "keys[0].KEY: named twice"},
	{"too deep", strings.Repeat(`[`, 20) + strings.Repeat(`]`, 20), "nested too deep"},
	{"15-byte key", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1[:30] + `"}]}`, "keys[0].key: 15 bytes, want 16"},
	{"15-byte key in base64", `[{"key_id":"` + b64(kid1) + `","key":"` + b64(key1[:30]) + `"}]`, "[0].key: 15 bytes, want 16"},
	{"17-byte key", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `a1"}]}`, "keys[0].key: 17 bytes, want 16"},
	{"key is neither", `{"keys":[{"kid":"` + kid1 + `","key":"secret!"}]}`, "keys[0].key: neither hexadecimal nor base64"},
	{"key is a number", `{"keys":[{"kid":"` + kid1 + `","key":12345}]}`, "keys[0].key: not a string"},
	{"key is null", `{"keys":[{"kid":"` + kid1 + `","key":null}]}`, "keys[0].key: not a string"},
	{"zero key", `{"keys":[{"kid":"` + kid1 + `","key":"` + strings.Repeat("0", 32) + `"}]}`, "keys[0].key: all bytes are zero"},
	{"zero KID", `{"keys":[{"kid":"` + strings.Repeat("0", 32) + `","key":"` + key1 + `"}]}`, "keys[0]: no KID"},
	{"no KID", `{"keys":[{"key":"` + key1 + `"}]}`, "keys[0]: no KID"},
	{"no key", `{"keys":[{"kid":"` + kid1 + `"}]}`, "keys[0]: no key"},
	{"KID with hyphens astray", `{"keys":[{"kid":"0101010-10101-0101-0101-010101010101","key":"` + key1 + `"}]}`, "keys[0].kid: "},
	{"8-byte IV", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","iv":"0102030405060708"}]}`, "keys[0].iv: 8 bytes, want 16"},
	{"class of another table", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","class":"4K"}]}`, "keys[0].class: want ALL"},
	{"scheme that nobody plays", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","scheme":"cens"}]}`, "keys[0].scheme: want cenc, cbcs or aes-128"},
	{"star in the middle", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","asset":"/v*d/*"}]}`, "keys[0].asset: "},
	{"empty asset", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","asset":""}]}`, "keys[0].asset: "},
	{"negative period", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","period":-1}]}`, "keys[0].period: not a whole number"},
	{"period above 32 bits", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","period":4294967296}]}`, "keys[0].period: not a whole number"},
	{"generation as text", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","generation":"1"}]}`, "keys[0].generation: not a number"},
	{"pssh is a string", `[{"key_id":"` + b64(kid1) + `","key":"` + b64(key1) + `","pssh":"AAAA"}]`, "[0].pssh: not an array"},
	{"pssh without data", `[{"key_id":"` + b64(kid1) + `","key":"` + b64(key1) + `","pssh":[{"uuid":"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"}]}]`, "[0].pssh: [0]: uuid and data"},
	{"pssh of a zero system", `[{"key_id":"` + b64(kid1) + `","key":"` + b64(key1) + `","pssh":[{"uuid":"00000000-0000-0000-0000-000000000000","data":""}]}]`, "[0].pssh: [0]: uuid and data"},
	{"pssh with another member", `[{"key_id":"` + b64(kid1) + `","key":"` + b64(key1) + `","pssh":[{"box":"AAAA"}]}]`, "[0].pssh: [0]: box: unknown member"},
	{"pssh data with a line break", `[{"key_id":"` + b64(kid1) + `","key":"` + b64(key1) + `","pssh":[{"uuid":"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed","data":"AA\nAA"}]}]`, "[0].pssh: [0]: data: not base64"},
	{"KID twice", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","asset":"/a/"},{"kid":"` + kid1 + `","key":"` + key2 + `","asset":"/b/"}]}`, "keys[1]: the KID of keys[0] again"},
	{"one key for cenc and cbcs", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","scheme":"cenc"},{"kid":"` + kid2 + `","key":"` + key1 + `","scheme":"cbcs"}]}`, "keys[1]: the key of keys[0] again"},
	{"two keys for one thing", `{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `"},{"kid":"` + kid2 + `","key":"` + key2 + `","class":"ALL","asset":"*"}]}`, "keys[1]: serves the same as keys[0]"},
	{"two elements of the array form", `[{"key_id":"` + b64(kid1) + `","key":"` + b64(key1) + `"},{"key_id":"` + b64(kid2) + `","key":"` + b64(key2) + `"}]`, "[1]: serves the same as [0]"},
	{"too many values", `[` + strings.Repeat("0,", maxJSONValues) + `0]`, "too many values"},
	{"too long", strings.Repeat(" ", maxStaticSize+1), "more than 4194304 bytes"},
}

func TestParseStaticRefuses(t *testing.T) {
	for _, tt := range refusedLists {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseStatic([]byte(tt.list), StaticOptions{Scheme: drm.SchemeCenc})
			if err == nil || s != nil {
				t.Fatalf("list %v, error %v; want an error alone", s, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q in it", err, tt.want)
			}
			checkNoKeyIn(t, err.Error())
		})
	}
	if _, err := ParseStatic([]byte(`{"keys":[{"kid":"`+kid1+`","key":"`+key1+`"}]}`), StaticOptions{}); err == nil || !strings.Contains(err.Error(), "keys[0]: no scheme") {
		t.Errorf("no scheme anywhere: error %v", err)
	}
}

// checkNoKeyIn looks for any two bytes of the fixture keys in hexadecimal, and for more of their base64 than a misspelled
// member name, which errors do show, can hold.
func checkNoKeyIn(t *testing.T, text string) {
	t.Helper()
	for _, h := range []string{key1, key2} {
		if strings.Contains(text, h[:4]) || strings.Contains(text, b64(h)[:17]) {
			t.Errorf("error quotes a key: %s", text)
		}
	}
	for _, word := range []string{"secret!", "12345"} {
		if strings.Contains(text, word) {
			t.Errorf("error quotes a value: %s", text)
		}
	}
}

func TestStaticRefusesRequests(t *testing.T) {
	s := mustParseStatic(t, `{"keys":[{"kid":"`+kid1+`","key":"`+key1+`"}]}`, StaticOptions{Scheme: drm.SchemeCenc})
	k, err := s.ContentKey(context.Background(), Request{testTitle(), drm.ClassHD})
	if err == nil || errors.Is(err, ErrUnknownKey) || !k.IsZero() {
		t.Errorf("a class of a list that is not split: key %v, error %v", k, err)
	}
	if keys, err := s.ContentKeys(context.Background(), Title{}); err == nil || keys != nil {
		t.Errorf("no title: keys %v, error %v", keys, err)
	}
}

// TestStaticManyKeys: reading stays linear in the number of entries.
func TestStaticManyKeys(t *testing.T) {
	const n = 10000
	var list bytes.Buffer
	list.WriteString(`{"keys":[`)
	for i := range n {
		if i > 0 {
			list.WriteByte(',')
		}
		fmt.Fprintf(&list, `{"kid":"%032x","key":"%032x","asset":"/vod/%d/"}`, i+1, i+1, i)
	}
	list.WriteString(`]}`)
	s := mustParseStatic(t, list.String(), StaticOptions{Scheme: drm.SchemeCenc})
	title := testTitle()
	title.Asset = "/vod/9999/"
	k, err := s.ContentKey(context.Background(), Request{title, drm.ClassShared})
	if err != nil || k.KID().Hex() != fmt.Sprintf("%032x", n) {
		t.Errorf("key %v, error %v", k, err)
	}
}

func FuzzParseStatic(f *testing.F) {
	for _, tt := range refusedLists {
		if len(tt.list) < 4096 {
			f.Add([]byte(tt.list))
		}
	}
	f.Add([]byte(`[{"pssh":[{"data":"dGVzdA==","uuid":"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"}],"key":"` + b64(key1) + `","key_id":"` + b64(kid1) + `","iv":"` + b64(key2) + `"}]`))
	f.Add([]byte(`{"keys":[{"kid":"` + kid1 + `","key":"` + key1 + `","asset":"/vod/*","class":"SD","scheme":"cbcs","period":1,"generation":2}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseStatic(data, StaticOptions{Scheme: drm.SchemeCenc})
		if (err == nil) == (s == nil) {
			t.Fatalf("list %v, error %v", s, err)
		}
		if err != nil {
			checkNoKeyIn(t, err.Error())
			return
		}
		for _, scheme := range drm.Schemes {
			keys, err := s.ContentKeys(context.Background(), Title{Tenant: "t", Asset: "/vod/", Scheme: scheme})
			if err != nil && !errors.Is(err, ErrUnknownKey) {
				t.Fatal(err)
			}
			for _, k := range keys {
				if k.IsZero() {
					t.Fatal("a zero key")
				}
			}
		}
	})
}
