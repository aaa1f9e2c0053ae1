package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// benchmark is one line of `go test -bench`.
type benchmark struct {
	name     string // with its path, without Benchmark and the number of processors
	mbPerSec float64
	nsPerOp  float64
	allocs   float64 // -1 if they were not counted
}

var processors = regexp.MustCompile(`-\d+$`)

// parseBenchmarks reads the output of `go test -bench`. Lines that are none are passed over.
func parseBenchmarks(out string) ([]benchmark, error) {
	var all []benchmark
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		b := benchmark{name: processors.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), ""), allocs: -1}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("benchmark %s: %w", fields[0], err)
			}
			switch fields[i+1] {
			case "ns/op":
				b.nsPerOp = value
			case "MB/s":
				b.mbPerSec = value
			case "allocs/op":
				b.allocs = value
			}
		}
		all = append(all, b)
	}
	return all, lines.Err()
}

// library are the benchmarks of a package, by name, one for each round, in the order in which they first ran.
type library struct {
	names   []string
	results map[string][]benchmark
}

func (l *library) add(round []benchmark) {
	if l.results == nil {
		l.results = make(map[string][]benchmark)
	}
	for _, b := range round {
		if !slices.Contains(l.names, b.name) {
			l.names = append(l.names, b.name)
		}
		l.results[b.name] = append(l.results[b.name], b)
	}
}

func (l *library) mbPerSec(name string) []float64 {
	var values []float64
	for _, b := range l.results[name] {
		values = append(values, b.mbPerSec)
	}
	return values
}

// testProgram is a compiled test, and the folder of its package, where its testdata is.
type testProgram struct{ file, dir string }

// opensslName is the name of openssl among the benchmarks.
const opensslName = "openssl speed, 16 KB"

// benchLibrary runs the benchmarks of compiled test programs, and openssl, in rounds. Within a round ours, the peers and the floor of one
// codec follow each other.
func benchLibrary(ctx context.Context, programs []testProgram, rounds int, length time.Duration) (*library, error) {
	l := new(library)
	for range rounds {
		for _, program := range programs {
			cmd := exec.CommandContext(ctx, program.file, "-test.run", "^$", "-test.bench", ".", "-test.benchmem", "-test.benchtime", length.String())
			cmd.Dir = program.dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("%s: %w: %s", program.file, err, out)
			}
			round, err := parseBenchmarks(string(out))
			if err != nil {
				return nil, err
			}
			l.add(round)
		}
		rate, err := opensslCBC(ctx)
		if err != nil {
			return nil, err
		}
		l.add([]benchmark{{name: opensslName, mbPerSec: rate, allocs: -1}})
	}
	return l, nil
}

// parseOpenSSL reads the machine-readable output of `openssl speed -mr`, which ends in bytes a second, and returns MB/s.
func parseOpenSSL(out string) (float64, error) {
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "+F:") {
			continue
		}
		fields := strings.Split(strings.TrimSpace(line), ":")
		rate, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		return rate / 1e6, err
	}
	return 0, fmt.Errorf("openssl says nothing about its speed: %s", out)
}

// opensslCBC measures AES-128-CBC in blocks of 16 KB, in MB for each second of the clock, as Go's benchmarks do.
func opensslCBC(ctx context.Context) (float64, error) {
	out, err := exec.CommandContext(ctx, "openssl", "speed", "-mr", "-elapsed", "-seconds", "1", "-bytes", "16384", "-evp", "aes-128-cbc").Output()
	if err != nil {
		return 0, fmt.Errorf("openssl: %w", err)
	}
	return parseOpenSSL(string(out))
}
