package probe

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

var manifests = []string{"/a.mpd", "/main.m3u8"}

func TestNothingIsWrong(t *testing.T) {
	for _, scheme := range drm.Schemes {
		for _, path := range manifests {
			s := newServer(t, scheme)
			report, err := s.probe(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !report.OK || len(report.Renditions) != 2 || report.Keys != 2 || report.LeaksTried != 14 {
				t.Errorf("%s %s: %s", scheme, path, report.Text())
			}
			for _, r := range report.Renditions {
				if r.Periods != 2 || r.Listed != 8 || r.Probed != 6 || r.Decrypted != 6 || r.Proven != 6 {
					t.Errorf("%s %s: %+v", scheme, path, r)
				}
			}
		}
	}
}

// breakage is something wrong with a server, and the one problem that has to name it.
type breakage struct {
	rule  string
	spoil func(t *testing.T, s *server)
	code  Code
	says  string // of the problem as a line
}

// breakages hold for DASH and HLS.
var breakages = []breakage{
	{"a KID that the media does not have", func(t *testing.T, s *server) {
		other := testKey(t, 7)
		s.secrets[other.KID()] = other
		s.edit("/a.mpd", testKey(t, 0).KID().String(), other.KID().String())
		s.edit("/video/360p/list.m3u8", testKey(t, 0).KID().Hex(), other.KID().Hex())
	}, KIDMismatch, "/video/360p/~…/init.mp4, moov/trak/…/sinf/schi/tenc, line "},
	{"another scheme", func(_ *testing.T, s *server) {
		s.edit("/a.mpd", `value="cenc"`, `value="cbcs"`)
		s.edit("/video/360p/list.m3u8", "SAMPLE-AES-CTR", "SAMPLE-AES")
	}, SchemeMismatch, "track 1 is cenc, and the manifest says cbcs"},
	{"a license for another title", func(t *testing.T, s *server) { s.secrets[testKey(t, 0).KID()] = testKey(t, 5) }, LicenseWithout, "holds 1 key, and not the one with KID aa000000-"},
	{"no license", func(t *testing.T, s *server) { delete(s.secrets, testKey(t, 1).KID()) }, LicenseFailed, "status 403 (not_found) for KID aa000000-0000-0000-0000-000000000001"},
	{"a license with another key under the name", func(t *testing.T, s *server) {
		wrong := testKey(t, 5).Secret()
		key, err := drm.NewContentKey(testKey(t, 0).KID(), wrong[:], make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		s.secrets[key.KID()] = key
	}, WrongKey, "audio/en/~…/seg_1.m4s, moof[0]/traf[0]"},
	{"a clear segment", func(t *testing.T, s *server) { s.media("/video/360p/~k0/seg_4.m4s", demo(t, "video/360p/seg_4.m4s")) }, ClearSegment, "/video/360p/~…/seg_4.m4s, moof[0]/traf[0]"},
	{"a clear init segment", func(t *testing.T, s *server) { s.media("/video/360p/~k0/init.mp4", demo(t, "video/360p/init.mp4")) }, ClearSegment, "track 1 is clear, and the manifest says cenc"},
	{"the clear file beside it", func(t *testing.T, s *server) { s.media("/video/360p/seg_4.m4s", demo(t, "video/360p/seg_4.m4s")) }, ClearLeak, home + "/video/360p/seg_4.m4s: MP4 in clear is served without a seal"},
	{"the clear init segment beside it", func(t *testing.T, s *server) { s.media("/audio/en/init.mp4", demo(t, "audio/en/init.mp4")) }, ClearLeak, home + "/audio/en/init.mp4: MP4"},
	{"a segment of the other key period", func(_ *testing.T, s *server) { s.files["/audio/en/~k0/seg_4.m4s"] = s.files["/audio/en/~k1/seg_5.m4s"] }, WrongKey, "/audio/en/~…/seg_4.m4s"},
	{"a segment of another time", func(_ *testing.T, s *server) {
		s.files["/video/360p/~k0/seg_4.m4s"] = s.files["/video/360p/~k0/seg_2.m4s"]
	}, TimelineMismatch, "it begins at 2s, and the manifest says 6s"},
	{"a truncated segment", func(_ *testing.T, s *server) {
		file := s.files["/video/360p/~k1/seg_8.m4s"]
		file.Body = file.Body[:len(file.Body)-100]
		s.files["/video/360p/~k1/seg_8.m4s"] = file
	}, SegmentBroken, `the box "mdat" at byte`},
	{"a truncated init segment", func(_ *testing.T, s *server) {
		file := s.files["/video/360p/~k1/init.mp4"]
		file.Body = file.Body[:len(file.Body)-10]
		s.files["/video/360p/~k1/init.mp4"] = file
	}, InitBroken, `the box "moov" at byte`},
	{"a missing segment", func(_ *testing.T, s *server) { delete(s.files, "/audio/en/~k1/seg_8.m4s") }, NotFetched, "/audio/en/~…/seg_8.m4s"},
	{"a page in place of media", func(_ *testing.T, s *server) { s.file("/audio/en/~k1/seg_8.m4s", "text/html; charset=utf-8", "<html>") }, ContentType, `Content-Type "text/html"`},
	{"a pssh box of another key", func(t *testing.T, s *server) {
		s.media("/audio/en/~k0/init.mp4", protectorOf(t, "audio/en", drm.SchemeCenc, testKey(t, 0), testKey(t, 3).KID()).Init())
	}, PsshMismatch, "moov/pssh"},
	{"subsamples that do not cover", func(_ *testing.T, s *server) {
		file := s.files["/video/360p/~k0/seg_1.m4s"]
		at := strings.Index(string(file.Body), "senc") + 12 + 8 + 2 + 5 // behind flags, count, IV and number of subsamples: the protected bytes
		file.Body = slices.Clone(file.Body)
		file.Body[at]++
		s.files["/video/360p/~k0/seg_1.m4s"] = file
	}, SegmentBroken, "senc cover"},
}

func TestBrokenServers(t *testing.T) {
	for _, b := range breakages {
		for _, path := range manifests {
			t.Run(b.rule+path, func(t *testing.T) {
				s := newServer(t, drm.SchemeCenc)
				b.spoil(t, s)
				report, err := s.probe(path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if report.OK || !slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.Code == b.code && strings.Contains(p.String(), b.says) }) {
					t.Errorf("want %s … %q:\n%s", b.code, b.says, report.Text())
				}
				// The other renditions and periods are probed all the same.
				if len(report.Renditions) != 2 || report.Renditions[0].Probed+report.Renditions[1].Probed < 8 {
					t.Errorf("it stopped:\n%s", report.Text())
				}
			})
		}
	}
}

// TestClearMediaThatSaysOtherwise: a senc proves nothing, and sound tells.
func TestClearMediaThatSaysOtherwise(t *testing.T) {
	s := newServer(t, drm.SchemeCenc)
	file := s.files["/audio/en/~k0/seg_1.m4s"]
	clear := demo(t, "audio/en/seg_1.m4s")
	samples := clear[strings.Index(string(clear), "mdat")+4:]
	file.Body = append(slices.Clone(file.Body[:len(file.Body)-len(samples)]), samples...)
	s.files["/audio/en/~k0/seg_1.m4s"] = file
	report, err := s.probe("/a.mpd", nil)
	if err != nil || len(report.Problems) != 1 || report.Problems[0].Code != ClearSegment || !strings.Contains(report.Problems[0].Text, "are mp4a in clear") {
		t.Errorf("%v\n%s", err, report.Text())
	}
}

func TestWholeSegments(t *testing.T) {
	for _, test := range []struct {
		rule   string
		change func(s *server)
		code   Code
		says   string
	}{
		{"as it should be", func(*server) {}, "", ""},
		{"a key in the URI", func(s *server) {
			secret := testKey(s.t, 9).Secret()
			s.edit("/whole/list.m3u8", "key?token=secret", "data:text/plain;base64,"+base64.StdEncoding.EncodeToString(secret[:]))
		}, "", ""},
		{"a wrong key in the URI", func(s *server) {
			s.edit("/whole/list.m3u8", "key?token=secret", "data:text/plain;base64,AAECAwQFBgcICQoLDA0ODw==")
		}, WrongKey, "seg_5.m4s"},
		{"another key", func(s *server) { s.files["/whole/key"] = Response{Body: []byte("sixteen bytes ok")} }, WrongKey, "seg_5.m4s"},
		{"a short key", func(s *server) { s.files["/whole/key"] = Response{Body: []byte("short")} }, LicenseFailed, "/whole/key?…, line 4: 5 bytes, where a key has 16"},
		{"a clear segment", func(s *server) { s.media("/whole/seg_5.m4s", demo(s.t, "audio/en/seg_5.m4s")) }, ClearSegment, "it is MP4 in clear"},
		{"a truncated segment", func(s *server) {
			file := s.files["/whole/seg_8.m4s"]
			file.Body = file.Body[:len(file.Body)-5]
			s.files["/whole/seg_8.m4s"] = file
		}, SegmentBroken, "no multiple of 16"},
		{"a segment of another number", func(s *server) { s.files["/whole/seg_8.m4s"] = s.files["/whole/seg_7.m4s"] }, TimelineMismatch, "seg_8.m4s"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			s := newServer(t, drm.SchemeCenc)
			s.wholePlaylist()
			test.change(s)
			report, err := s.probe("/whole/list.m3u8", nil)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(report.Text(), "secret") {
				t.Errorf("the query is in\n%s", report.Text())
			}
			if test.code == "" {
				if r := report.Renditions[0]; !report.OK || r.Decrypted != 3 || r.Proven != 3 {
					t.Errorf("%s", report.Text())
				}
				return
			}
			if report.OK || !slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.Code == test.code && strings.Contains(p.String(), test.says) }) {
				t.Errorf("want %s … %q:\n%s", test.code, test.says, report.Text())
			}
		})
	}
}

func TestWhatCannotBeProbed(t *testing.T) {
	s := newServer(t, drm.SchemeCenc)
	s.file("/page", "text/html", "hello")
	s.file("/page.mpd", "application/dash+xml", "<html></html>")
	for _, path := range []string{"/gone.mpd", "/page", "/page.mpd"} {
		if report, err := s.probe(path, nil); !errors.Is(err, ErrManifest) || report != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	s.file("/empty.mpd", "application/dash+xml", `<MPD type="static"/>`)
	if report, err := s.probe("/empty.mpd", nil); err != nil || report.OK {
		t.Errorf("an empty MPD: %v %+v", err, report)
	}
}

// TestNothingIsProtected: a manifest without any protection is not what anybody meant.
func TestNothingIsProtected(t *testing.T) {
	s := newServer(t, drm.SchemeCenc)
	s.media("/init.mp4", demo(t, "audio/en/init.mp4"))
	s.media("/seg_1.m4s", demo(t, "audio/en/seg_1.m4s"))
	s.file("/clear.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\nseg_1.m4s\n#EXT-X-ENDLIST\n")
	report, err := s.probe("/clear.m3u8", nil)
	if err != nil || report.OK || len(report.Problems) != 1 || report.Problems[0].Code != ClearSegment {
		t.Errorf("%v\n%s", err, report.Text())
	}
}

// TestOtherSystems: their license servers are reported, and fail nothing.
func TestOtherSystems(t *testing.T) {
	s := newServer(t, drm.SchemeCenc)
	for {
		file := s.files["/a.mpd"]
		if !strings.Contains(string(file.Body), "e2719d58") {
			break
		}
		s.edit("/a.mpd", "e2719d58-a985-b3c9-781a-b030af78d30e", drm.SystemWidevine.String())
		s.edit("/a.mpd", home+"/license<", "https://drm.example.net/rights?customer=1<")
	}
	report, err := s.probe("/a.mpd", nil)
	if err != nil || !report.OK || report.Keys != 0 || len(report.Licenses) != 1 {
		t.Fatalf("%v\n%s", err, report.Text())
	}
	if l := report.Licenses[0]; l.System != "Widevine" || l.URL != "https://drm.example.net/rights?…" || !strings.Contains(l.Answer, "no such host") {
		t.Errorf("%+v", l)
	}
	for _, r := range report.Renditions {
		if r.Probed != 6 || r.Decrypted != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// TestWatch: a live playlist moves on, and gives a segment another key, or stays with what it said.
func TestWatch(t *testing.T) {
	live := func(s *server, from, to int, rekeyed bool) {
		var b strings.Builder
		b.WriteString("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:" + string(rune('0'+from)) + "\n")
		before := -1
		for n := from; n <= to; n++ {
			period := (n - 1) / 4
			if period != before {
				kid := testKey(s.t, byte(period)).KID()
				if rekeyed && period == 1 {
					kid = testKey(s.t, 0).KID()
				}
				b.WriteString("#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"/license\",KEYID=0x" + kid.Hex() + ",KEYFORMAT=\"org.w3.clearkey\"\n")
				b.WriteString("#EXT-X-MAP:URI=\"~k" + string(rune('0'+period)) + "/init.mp4\"\n")
			}
			before = period
			b.WriteString("#EXTINF:2.0,\n~k" + string(rune('0'+period)) + "/seg_" + string(rune('0'+n)) + ".m4s\n")
		}
		s.file("/audio/en/live.m3u8", "application/vnd.apple.mpegurl", b.String())
	}
	for _, rekeyed := range []bool{false, true} {
		s := newServer(t, drm.SchemeCenc)
		live(s, 1, 5, false)
		step := 5
		s.onSleep = func() {
			step = min(step+1, 8)
			live(s, step-4, step, rekeyed)
		}
		report, err := s.probe("/audio/en/live.m3u8", func(o *Options) { o.Watch = 5 * time.Second })
		if err != nil {
			t.Fatal(err)
		}
		if !report.Live || report.Reloads != 5 || report.Renditions[0].Listed != 8 {
			t.Errorf("%s", report.Text())
		}
		changed := slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.Code == KeyChanged && strings.Contains(p.String(), "seg_5.m4s") })
		if changed != rekeyed || report.OK == rekeyed {
			t.Errorf("rekeyed %t:\n%s", rekeyed, report.Text())
		}
	}
}

// TestWatchedPeriods: a Period of a live MPD stays where it was.
func TestWatchedPeriods(t *testing.T) {
	s := newServer(t, drm.SchemeCenc)
	s.edit("/a.mpd", `type="static" mediaPresentationDuration="PT16S"`, `type="dynamic" availabilityStartTime="2027-01-01T00:00:00Z" minimumUpdatePeriod="PT1S"`)
	s.now = time.Date(2027, 1, 1, 0, 0, 17, 0, time.UTC)
	s.edit("/a.mpd", `id="p1" start="PT8S"`, `id="p1" start="PT8S" duration="PT8S"`)
	moved := false
	s.onSleep = func() {
		if !moved {
			s.edit("/a.mpd", `id="p1" start="PT8S"`, `id="p1" start="PT9S"`)
			moved = true
		}
	}
	report, err := s.probe("/a.mpd", func(o *Options) { o.Watch = 3 * time.Second })
	if err != nil || report.Reloads == 0 {
		t.Fatalf("%v\n%s", err, report.Text())
	}
	if !slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.Code == PeriodMoved && p.Period == "p1" }) {
		t.Errorf("%s", report.Text())
	}
}
