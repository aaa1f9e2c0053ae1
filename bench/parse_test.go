package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseBenchmarks(t *testing.T) {
	const out = `goos: linux
cpu: Some Processor
BenchmarkProtect/avc-large/cenc/ours-2         	    1234	    987654 ns/op	1520.75 MB/s	     128 B/op	       4 allocs/op
BenchmarkProtect/avc-large/cenc/mp4ff-2        	     100	  12345678 ns/op
    bench_test.go:90: mp4ff: cannot
BenchmarkProtect/hevc/cbcs/ours
BenchmarkProtect/hevc/cbcs/ours                	       1	       5.5 ns/op
PASS
`
	got, err := parseBenchmarks(out)
	if err != nil {
		t.Fatal(err)
	}
	want := []benchmark{
		{"Protect/avc-large/cenc/ours", 1520.75, 987654, 4},
		{"Protect/avc-large/cenc/mp4ff", 0, 12345678, -1},
		{"Protect/hevc/cbcs/ours", 0, 5.5, -1},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d benchmarks, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	if _, err := parseBenchmarks("BenchmarkX-2 1 many ns/op"); err == nil {
		t.Error("a number that is none was read")
	}
}

func TestParseWrk(t *testing.T) {
	requests, seconds, err := parseWrk("Running 2s test\nsummary 3000 2010000 0\n")
	if err != nil || requests != 3000 || seconds != 2.01 {
		t.Errorf("got %v requests in %v s, %v", requests, seconds, err)
	}
	for name, out := range map[string]string{
		"errors among the answers": "summary 3000 2010000 1\n",
		"no answer":                "summary 0 2010000 0\n",
	} {
		if _, _, err := parseWrk(out); !errors.Is(err, errNotServed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := parseWrk("unable to connect"); err == nil {
		t.Error("no summary was taken for one")
	}
}

func TestParseOpenSSL(t *testing.T) {
	got, err := parseOpenSSL("+H:16384\n+F:25:AES-128-CBC:1947451392.00\n")
	if err != nil || got != 1947.451392 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseOpenSSL("+H:16384\n"); err == nil {
		t.Error("no result was taken for one")
	}
}

func TestParseStat(t *testing.T) {
	// The name of a process may look like the rest of the line.
	got, err := parseStat("42 (odd) name (1) S 7 42 42 0 -1 4194560 100 0 0 0 150 25 9 9 20 0 5 0 100")
	if want := (procStat{parent: 7, cpu: 1750 * time.Millisecond}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, line := range []string{"", "42 (short) S 7", "42 (x) S a 42 42 0 -1 4194560 100 0 0 0 150 25 9 9"} {
		if _, err := parseStat(line); err == nil {
			t.Errorf("%q was read", line)
		}
	}
}

func TestCPUOfATreeCountsItOnce(t *testing.T) {
	stats := map[int]procStat{
		1: {0, time.Hour}, 10: {1, time.Second}, 11: {10, 2 * time.Second}, 12: {11, 4 * time.Second}, 20: {1, 8 * time.Second},
	}
	if got := treeCPU(stats, 10); got != 7*time.Second {
		t.Errorf("got %s, want 7s", got)
	}
}

func TestParseRSSAnon(t *testing.T) {
	got, err := parseRSSAnon([]byte("Name:\tcaddy\nVmRSS:\t  99999 kB\nRssAnon:\t   1024 kB\nRssFile:\t 5 kB\n"))
	if err != nil || got != 1<<20 {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := parseRSSAnon([]byte("Name:\tcaddy\n")); err == nil {
		t.Error("no line was taken for one")
	}
}

func TestMediaTemplate(t *testing.T) {
	const manifest = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>
		<AdaptationSet><Representation id="0"><BaseURL>~seal/</BaseURL>
			<SegmentTemplate media="seg_$RepresentationID$_$Number$.m4s"/></Representation></AdaptationSet>
		<AdaptationSet><Representation id="1"><SegmentTemplate media="~other/a_$Number$.m4s?x=$RepresentationID$"/></Representation></AdaptationSet>
	</Period></MPD>`
	for representation, want := range map[string]string{
		"0": "http://h/two/~seal/seg_0_$Number$.m4s",
		"1": "http://h/two/~other/a_$Number$.m4s?x=1",
	} {
		got, err := mediaTemplate([]byte(manifest), "http://h/two/manifest.mpd", representation)
		if err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, err := mediaTemplate([]byte(manifest), "http://h/two/manifest.mpd", "2"); err == nil {
		t.Error("a Representation was found that is not there")
	}
	if _, err := mediaTemplate([]byte("<html>"), "http://h/", "0"); err == nil {
		t.Error("an error page was read")
	}
}

func TestShortSegmentsAreLeftOut(t *testing.T) {
	got := fullLength([]segment{{1, 100}, {2, 110}, {3, 90}, {4, 10}, {5, 105}})
	if len(got) != 4 || got[2].number != 3 || got[3].number != 5 {
		t.Errorf("got %v", got)
	}
}

// The three Caddys differ in what stands in front of the origin, and in nothing else.
func TestCaddyfilesDifferInTheHandlerOnly(t *testing.T) {
	config := caddyConfig{root: "/srv", upstream: "127.0.0.1:3", files: "127.0.0.1:1", proxied: "127.0.0.1:2"}
	stock := string(config.caddyfile())
	config.handler = drmHandler
	config.global = gatewayOptions{cache: true, inFlight: true}.global("off")
	ours := string(config.caddyfile())
	if strings.Count(ours, drmHandler) != 2 || !strings.Contains(ours, "segment_cache off") || !strings.Contains(ours, "in_flight "+inFlightBudget) {
		t.Errorf("%s", ours)
	}
	if got := strings.ReplaceAll(strings.Replace(ours, config.global, "", 1), drmHandler, ""); got != stock {
		t.Errorf("got\n%s\nwant\n%s", got, stock)
	}
	if (gatewayOptions{}).global("off") != "" {
		t.Error("options that the build does not know are set")
	}
}

func TestLimits(t *testing.T) {
	if got := limitsOf("avc-large", "cenc").mp4ff; got != atLeast(3, 3.3) {
		t.Errorf("avc-large: %+v", got)
	}
	if got := limitsOf("av1-tiles", "cbcs").mp4ff; got != atLeast(3, 5) {
		t.Errorf("av1-tiles: %+v", got)
	}
	if got := limitsOf("ac-3", "cbcs"); got != (libraryLimits{}) {
		t.Errorf("ac-3: %+v", got)
	}
}

// Rows of a codec are told by names, and a peer that cannot do it is left out.
func TestCodecRows(t *testing.T) {
	l := new(library)
	for _, rate := range []float64{100, 200} {
		l.add([]benchmark{
			{"Protect/avc-large/cbcs/ours", 4 * rate, 1, 4}, {"Protect/avc-large/cbcs/mp4ff", rate, 1, 300},
			{"Protect/avc-large/cbcs/floor", 5 * rate, 1, 0}, {"WholeSegment/aes-128/ours", rate, 1, 0}, {opensslName, 2 * rate, 0, -1},
		})
	}
	rows := codecRows(l, "Protect/avc-large/cbcs")
	if len(rows) != 3 {
		t.Fatalf("got %d rows: %+v", len(rows), rows)
	}
	for i, want := range []string{"met", "aim", "aim"} { // 0.8 of the floor, 4 times mp4ff, 4 allocations
		if got := rows[i].result(); got != want {
			t.Errorf("%s: %s, want %s", rows[i].what, got, want)
		}
	}
	if whole := wholeRows(l); len(whole) != 1 || whole[0].ratio.median != 0.5 || whole[0].result() != "met" {
		t.Errorf("whole segments: %+v", whole)
	}
}

func TestSlowTable(t *testing.T) {
	fine := slowResult{
		served: 500, memory: 500 << 20, unloaded: spread{2, 1, 3, 9}, loaded: spread{3, 2, 9, 9}, longestWait: 1234 * time.Millisecond,
	}
	tooMuch, refused := fine, fine
	tooMuch.memory, tooMuch.loaded.median = 513<<20, 4.1
	refused.fastRefused, refused.loaded = 3, spread{}
	for _, test := range []struct {
		name   string
		result slowResult
		want   [3]string
	}{
		{"within all limits", fine, [3]string{"met", "longest wait 1.23s", "met"}},
		{"too much memory, too slow", tooMuch, [3]string{"MISSED", "longest wait 1.23s", "MISSED"}},
		{"a fast client that was never served", refused, [3]string{"met", "longest wait 1.23s", "MISSED: 3 refused"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i, r := range slowTable(test.result, "slow", "budget", 0) {
				if got := r.result(); got != test.want[i] {
					t.Errorf("%s: %q, want %q", r.what, got, test.want[i])
				}
			}
		})
	}
	if got := slowTable(tooMuch, "slow", "budget", 1<<20)[0].result(); got != "met" {
		t.Errorf("513 MiB with a budget of 512 and a cache of 1: %q", got)
	}
}
