package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings say what is measured, and for how long.
type settings struct {
	dir            string // scratch, with the media, kept between runs
	gateway, stock string // the programs of the two Caddys
	tests          []testProgram
	profile        string // folder for profiles, if any are wanted
	only           string // names of the parts that run, separated by commas; empty: all
	rounds         int
	round          time.Duration // of one target in one round
	benchTime      time.Duration // of one Go benchmark in one round
	firstBytes     int           // requests in a round
	slow           time.Duration
}

func main() {
	var s settings
	var tests string
	flag.StringVar(&s.dir, "dir", ".cache/bench", "folder for media and servers")
	flag.StringVar(&s.gateway, "gateway", ".cache/bench/caddy", "Caddy with the plugin")
	flag.StringVar(&s.stock, "stock", ".cache/bench/stock-caddy", "Caddy without the plugin")
	flag.StringVar(&tests, "tests", "", "compiled tests whose benchmarks run, as file=folder,…")
	flag.StringVar(&s.profile, "profile", os.Getenv("BENCH_PROFILE"), "folder for processor profiles of the gateway, taken at the end")
	flag.StringVar(&s.only, "only", os.Getenv("BENCH_ONLY"), "parts to run: library, large, small, license, first, slow (default all)")
	flag.Parse()
	s.rounds, s.round, s.benchTime, s.firstBytes, s.slow = 5, 2*time.Second, 300*time.Millisecond, 100, 30*time.Second
	if os.Getenv("BENCH_QUICK") != "" {
		s.rounds, s.round, s.benchTime, s.firstBytes, s.slow = 2, time.Second, 100*time.Millisecond, 40, 16*time.Second
	}
	for _, pair := range strings.FieldsFunc(tests, func(r rune) bool { return r == ',' }) {
		file, dir, _ := strings.Cut(pair, "=")
		if absolute, err := filepath.Abs(file); err == nil {
			file = absolute
		}
		s.tests = append(s.tests, testProgram{file, dir})
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures everything and prints the table. What could be measured is printed even if something else failed.
func run(ctx context.Context, s settings) error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	s.dir = dir
	start, busy := time.Now(), loadAverage()
	progress("content", start)
	root := filepath.Join(s.dir, "media")
	if err := makeContent(ctx, root); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(s.dir, "run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	var sections []section
	var failures error
	measure := func(name string, f func() ([]section, error)) {
		progress(name, start)
		rows, err := f()
		sections = append(sections, rows...)
		if err != nil {
			failures = errors.Join(failures, fmt.Errorf("%s: %w", name, err))
		}
	}
	if s.runs("library") {
		measure("library", func() ([]section, error) { return librarySections(ctx, s) })
	}
	measure("server", func() ([]section, error) { return serverSections(ctx, s, root, scratch) })
	progress("done", start)
	fmt.Printf("%s\n%s, %d processors, load average %s at the start, %s at the end; %d rounds, medians [smallest..largest]\n\n",
		describe(), processorName(), runtime.NumCPU(), busy, loadAverage(), s.rounds)
	return errors.Join(failures, writeTable(os.Stdout, sections))
}

// runs reports whether a part was asked for.
func (s settings) runs(part string) bool {
	return s.only == "" || slices.Contains(strings.Split(s.only, ","), part)
}

func progress(name string, start time.Time) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(start).Seconds(), name)
}

// describe names the versions of what is compared.
func describe() string {
	parts := []string{runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/Eyevinn/mp4ff" || dep.Path == "github.com/caddyserver/caddy/v2" {
				parts = append(parts, dep.Path+" "+dep.Version)
			}
		}
	}
	return strings.Join(parts, ", ")
}

// loadAverage is that of the last minute: what else the machine did, and at the end ourselves.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func processorName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
