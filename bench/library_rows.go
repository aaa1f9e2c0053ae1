package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// limits of one codec and scheme, against the floor and both ways of mp4ff, and of allocations for a segment.
type libraryLimits struct {
	floor, mp4ff, sliceReader bound
	allocs                    bound
}

// limitsOf returns what is asked of a codec: "avc-large" is the 2 s segment of 1080p with 50 samples.
func limitsOf(codec, scheme string) libraryLimits {
	family, _, _ := strings.Cut(codec, "-")
	switch {
	case codec == "avc-large" && scheme == "cenc":
		return libraryLimits{atLeast(0.8, 0.95), atLeast(3, 3.3), atLeast(1.05, 1.25), atMost(60, 4)}
	case codec == "avc-large" && scheme == "cbcs":
		return libraryLimits{atLeast(0.75, 0.95), atLeast(2.8, 3.6), atLeast(1.5, 1.9), atMost(10, 4)}
	case family == "hevc" || family == "av1" || family == "aac":
		return libraryLimits{mp4ff: atLeast(3, 5)}
	default:
		return libraryLimits{}
	}
}

// librarySections runs the benchmarks Protect/<codec>/<scheme>/{ours,mp4ff,mp4ff-sr,floor} and the one of whole segments.
func librarySections(ctx context.Context, s settings) ([]section, error) {
	if len(s.tests) == 0 {
		return nil, nil
	}
	l, err := benchLibrary(ctx, s.tests, s.rounds, s.benchTime)
	if err != nil {
		return nil, err
	}
	codecs := section{heading: "segcrypt, one segment in memory, MB/s"}
	for _, name := range l.names {
		if group, found := strings.CutSuffix(name, "/ours"); found && strings.HasPrefix(group, "Protect/") && strings.Count(group, "/") == 2 {
			codecs.rows = append(codecs.rows, codecRows(l, group)...)
		}
	}
	return []section{codecs, {heading: "AES-128 of whole segments, MB/s", rows: wholeRows(l)}}, nil
}

func codecRows(l *library, group string) []row {
	parts := strings.Split(group, "/")
	codec, scheme := parts[1], parts[2]
	limits := limitsOf(codec, scheme)
	ours := l.mbPerSec(group + "/ours")
	var rows []row
	for _, peer := range []struct {
		name  string
		bound bound
	}{{"floor", limits.floor}, {"mp4ff", limits.mp4ff}, {"mp4ff-sr", limits.sliceReader}} {
		others := l.mbPerSec(group + "/" + peer.name)
		if len(others) == 0 {
			continue // mp4ff cannot do every codec
		}
		rows = append(rows, row{
			what: codec + " " + scheme, ours: spreadOf(ours).String(), against: peer.name + " " + spreadOf(others).String(),
			ratio: spreadOf(ratios(ours, others)), bound: peer.bound,
		})
	}
	if results := l.results[group+"/ours"]; len(results) > 0 && results[0].allocs >= 0 && limits.allocs != (bound{}) {
		allocs := results[len(results)-1].allocs
		rows = append(rows, row{
			what: codec + " " + scheme + ", allocations", ours: fmt.Sprintf("%.0f", allocs), bound: limits.allocs, absolute: &allocs,
		})
	}
	return rows
}

// wholeName matches the benchmark of AES-128 over whole segments.
var wholeName = regexp.MustCompile(`(?i)(whole|aes-?128).*ours$`)

func wholeRows(l *library) (rows []row) {
	openssl := l.mbPerSec(opensslName)
	for _, name := range l.names {
		if !wholeName.MatchString(name) {
			continue
		}
		ours := l.mbPerSec(name)
		rows = append(rows, row{
			what: strings.TrimSuffix(name, "/ours"), ours: spreadOf(ours).String(),
			against: opensslName + " " + spreadOf(openssl).String(), ratio: spreadOf(ratios(ours, openssl)), bound: atLeast(0.45, 0.9),
		})
	}
	return rows
}
