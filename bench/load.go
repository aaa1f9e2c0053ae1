package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// connections is how many clients ask at the same time.
const connections = 16

//go:embed rotate.lua
var rotateScript []byte

// resource is a list of URLs of one server that are asked for in turn, so that no two clients ask for the same at one
// moment, and what one answer holds.
type resource struct {
	base     string // scheme and host
	paths    []string
	body     string  // posted to every path; without one they are GET requests
	meanSize float64 // of the answers' bodies, in bytes
}

// load is what a server did under it.
type load struct {
	perSecond float64 // requests
	cpuPerGB  float64 // processor seconds of the server for 10^9 bytes of bodies
	cpuPerReq float64 // microseconds
}

// generator runs wrk.
type generator struct {
	program, dir, script string
}

func newGenerator(dir string) (*generator, error) {
	program, err := exec.LookPath("wrk")
	if err != nil {
		return nil, errors.New("wrk is not installed; run scripts/bench-tools.sh")
	}
	g := &generator{program: program, dir: dir, script: filepath.Join(dir, "rotate.lua")}
	return g, os.WriteFile(g.script, rotateScript, 0o600)
}

// run loads the resource for so long and charges the processor time that servers used meanwhile.
func (g *generator) run(ctx context.Context, res resource, length time.Duration, servers ...*server) (load, error) {
	list := filepath.Join(g.dir, "paths")
	if err := os.WriteFile(list, []byte(res.body+"\n"+strings.Join(res.paths, "\n")+"\n"), 0o600); err != nil {
		return load{}, err
	}
	before, err := cpuOf(servers)
	if err != nil {
		return load{}, err
	}
	out, err := exec.CommandContext(ctx, g.program, "-t2", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", max(1, int(length.Seconds()))),
		"--timeout", "30s", "-s", g.script, res.base, "--", list).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := cpuOf(servers)
	if err != nil {
		return load{}, err
	}
	requests, seconds, err := parseWrk(string(out))
	if err != nil {
		return load{}, fmt.Errorf("%s%s: %w", res.base, res.paths[0], err)
	}
	cpu := (after - before).Seconds()
	return load{
		perSecond: requests / seconds,
		cpuPerGB:  cpu / (requests * res.meanSize / 1e9),
		cpuPerReq: cpu / requests * 1e6,
	}, nil
}

var wrkSummary = regexp.MustCompile(`(?m)^summary (\d+) (\d+) (\d+)$`)

var errNotServed = errors.New("answers were missing, or not 200")

// parseWrk reads the line that rotate.lua prints: requests, microseconds and errors of any kind.
func parseWrk(out string) (requests, seconds float64, err error) {
	match := wrkSummary.FindStringSubmatch(out)
	if match == nil {
		return 0, 0, fmt.Errorf("wrk says nothing about its requests: %s", out)
	}
	var numbers [3]float64
	for i := range numbers {
		if numbers[i], err = strconv.ParseFloat(match[i+1], 64); err != nil {
			return 0, 0, err
		}
	}
	if numbers[2] != 0 || numbers[0] == 0 || numbers[1] == 0 {
		return 0, 0, fmt.Errorf("%w: %.0f of %.0f", errNotServed, numbers[2], numbers[0])
	}
	return numbers[0], numbers[1] / 1e6, nil
}
