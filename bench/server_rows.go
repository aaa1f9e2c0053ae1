package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// lab is what all measurements of servers share.
type lab struct {
	settings
	root, scratch       string
	generator           *generator
	options             gatewayOptions
	rules               *rules
	nginx               *server
	nginxAddress        string
	videos, audios, six []segment
}

// serverSections measures the whole server, with each setting of the garbage collector.
func serverSections(ctx context.Context, s settings, root, scratch string) (sections []section, err error) {
	l := &lab{settings: s, root: root, scratch: scratch}
	if l.generator, err = newGenerator(scratch); err != nil {
		return nil, err
	}
	if l.rules, err = newRules(ctx, s.gateway, scratch); err != nil {
		return nil, err
	}
	if l.options, err = probeGateway(ctx, s.gateway, scratch, l.rules); err != nil {
		return nil, err
	}
	if l.videos, err = segments(root, twoSeconds, video); err != nil {
		return nil, err
	}
	if l.audios, err = segments(root, twoSeconds, audio); err != nil {
		return nil, err
	}
	if l.six, err = segments(root, sixSeconds, video); err != nil {
		return nil, err
	}
	if l.nginx, l.nginxAddress, err = startNginx(scratch, root); err != nil {
		return nil, err
	}
	defer l.nginx.stop()
	var failures error
	for _, set := range []gc{gcDefault, gcLimit} {
		rows, err := l.measure(ctx, set)
		name := "Server, " + set.name
		if set.name == gcDefault.name {
			name += " (judged)"
		} else {
			rows = unjudged(rows)
		}
		sections = append(sections, section{heading: name, rows: rows})
		if err != nil {
			failures = errors.Join(failures, fmt.Errorf("%s: %w", set.name, err))
		}
		if ctx.Err() != nil {
			return sections, failures
		}
	}
	if s.profile != "" {
		failures = errors.Join(failures, l.profileGateway(ctx, s.profile))
	}
	return sections, failures
}

// unjudged takes the limits away.
func unjudged(rows []row) []row {
	for i := range rows {
		rows[i].bound, rows[i].absolute = bound{}, nil
	}
	return rows
}

// trio are the servers that are compared under one setting of the garbage collector.
type trio struct {
	plain, cached, stock *caddy // cached is nil if the gateway has no cache
	judging              *caddy // cached, with every rule on; nil if the gateway does not know them all
	set                  gc
}

func (l *lab) start(set gc) (t trio, stop func(), err error) {
	var started []*caddy
	stop = func() {
		for _, c := range started {
			c.stop()
		}
	}
	begin := func(name, program, handler, global string) *caddy {
		if err != nil {
			return nil
		}
		var c *caddy
		config := caddyConfig{root: l.root, upstream: l.nginxAddress, handler: handler, global: global}
		if c, err = startCaddy(name, program, l.scratch, set, config); err == nil {
			started = append(started, c)
		}
		return c
	}
	t.set = set
	t.plain = begin("the gateway", l.gateway, drmHandler, l.options.global("off"))
	if l.options.cache {
		t.cached = begin("the gateway with a cache", l.gateway, drmHandler, l.options.global(cacheSize))
	}
	if l.options.cache && l.options.policy {
		t.judging = begin("the gateway with a cache and every rule", l.gateway, l.rules.handler, l.options.global(cacheSize, l.rules.global))
	}
	t.stock = begin("stock Caddy", l.stock, "", "")
	if err != nil {
		stop()
	}
	return t, stop, err
}

// The cache of the gateway that has one: all that is asked for fits.
const (
	cacheSize  = "256MiB"
	cacheBytes = 256 << 20
)

// Names of targets.
const (
	plainFiles  = "not cached"
	cachedFiles = "cached"
	judgedFiles = "cached, every rule on"
	stockFiles  = "file_server"
	nginxFiles  = "nginx"
	plainProxy  = "behind reverse_proxy, not cached"
	cachedProxy = "behind reverse_proxy, cached"
	stockProxy  = "reverse_proxy"
)

// measure returns all rows for one setting of the garbage collector.
func (l *lab) measure(ctx context.Context, set gc) ([]row, error) {
	t, stop, err := l.start(set)
	if err != nil {
		return nil, err
	}
	defer stop()
	began := time.Now()
	var rows []row
	for _, part := range []struct {
		name, what string
		rows       func(context.Context, trio) ([]row, error)
	}{
		{"large", "1.5 MB", l.videoRows}, {"small", "33 KB", l.audioRows}, {"license", "licenses", l.licenseRows}, {"first", "first byte", l.firstByteRows}, {"slow", "slow clients", l.allSlowRows},
	} {
		if !l.runs(part.name) {
			continue
		}
		progress("server, "+set.name+": "+part.what, began)
		more, err := part.rows(ctx, t)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// allSlowRows lets slow clients meet a gateway without a cache, and one with it.
func (l *lab) allSlowRows(ctx context.Context, t trio) ([]row, error) {
	rows, err := l.slowRows(ctx, t.plain, plainFiles, 0)
	if err != nil || t.cached == nil {
		return rows, err
	}
	more, err := l.slowRows(ctx, t.cached, "with a cache of "+cacheSize, cacheBytes)
	return append(rows, more...), err
}

// targets opens the same segments on every server.
func (l *lab) targets(ctx context.Context, t trio, representation string, numbers []segment, proxied bool) ([]target, error) {
	var all []target
	add := func(name, base string, protected bool, servers ...*server) error {
		res, err := open(ctx, base, twoSeconds, representation, numbers, protected)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, target{name: name, res: res, servers: servers})
		return nil
	}
	err := add(plainFiles, t.plain.files, true, t.plain.server)
	if err == nil && t.cached != nil {
		err = add(cachedFiles, t.cached.files, true, t.cached.server)
	}
	if err == nil {
		err = add(stockFiles, t.stock.files, false, t.stock.server)
	}
	if err == nil {
		err = add(nginxFiles, "http://"+l.nginxAddress, false, l.nginx)
	}
	if err != nil || !proxied {
		return all, err
	}
	// The upstream works for both sides, and counts on both.
	if err = add(plainProxy, t.plain.proxied, true, t.plain.server, l.nginx); err != nil {
		return nil, err
	}
	if t.cached != nil {
		if err = add(cachedProxy, t.cached.proxied, true, t.cached.server, l.nginx); err != nil {
			return nil, err
		}
	}
	err = add(stockProxy, t.stock.proxied, false, t.stock.server, l.nginx)
	return all, err
}

// compare returns two rows, one of requests a second and one of processor time. The first is judged as a ratio, the second
// by its own median.
func compare(results map[string]series, what, name, peer string, requests, cpu bound) []row {
	ours, others := results[name], results[peer]
	if len(ours) == 0 {
		return []row{{what: what + ", " + name, note: "this build has no cache"}}
	}
	cpuMedian := spreadOf(ours.cpuPerGB()).median
	return []row{{
		what: what + ", " + name + ": requests/s", ours: spreadOf(ours.perSecond()).String(),
		against: peer + " " + spreadOf(others.perSecond()).String(),
		ratio:   spreadOf(ratios(ours.perSecond(), others.perSecond())), bound: requests,
	}, {
		what: what + ", " + name + ": CPU-s/GB", ours: spreadOf(ours.cpuPerGB()).String(),
		against: peer + " " + spreadOf(others.cpuPerGB()).String(),
		ratio:   spreadOf(ratios(ours.cpuPerGB(), others.cpuPerGB())), bound: cpu, absolute: &cpuMedian,
	}}
}

func (l *lab) videoRows(ctx context.Context, t trio) ([]row, error) {
	targets, err := l.targets(ctx, t, video, l.videos, true)
	if err != nil {
		return nil, err
	}
	results, err := interleave(ctx, l.generator, targets, l.rounds, l.round)
	if err != nil {
		return nil, err
	}
	what := "2 s cenc, 1.5 MB"
	rows := compare(results, what, plainFiles, stockFiles, atLeast(1.3, 1.8), atMost(0.7, 0.5))
	rows = append(rows, compare(results, what, cachedFiles, stockFiles, atLeast(2, 2.6), atMost(0.3, 0.22))...)
	rows = append(rows, compare(results, what, plainProxy, stockProxy, atLeast(0.7, 0.85), bound{})...)
	rows = append(rows, compare(results, what, cachedProxy, stockProxy, bound{}, bound{})...)
	return append(rows, compare(results, what+" clear, an anchor", nginxFiles, stockFiles, bound{}, bound{})...), nil
}

func (l *lab) audioRows(ctx context.Context, t trio) ([]row, error) {
	targets, err := l.targets(ctx, t, audio, l.audios, false)
	if err != nil {
		return nil, err
	}
	if t.judging != nil {
		judged, err := l.rules.target(ctx, t.judging, l.audios)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", judgedFiles, err)
		}
		targets = append(targets, judged)
	}
	results, err := interleave(ctx, l.generator, targets, l.rounds, l.round)
	if err != nil {
		return nil, err
	}
	what := "2 s of audio, 33 KB"
	rows := compare(results, what, plainFiles, stockFiles, atLeast(0.8, 1), bound{})
	rows = append(rows, compare(results, what, cachedFiles, stockFiles, atLeast(1.2, 2), bound{})...)
	rows = append(rows, compare(results, what, judgedFiles, cachedFiles, atLeast(0.85, 0), bound{})...)
	for _, name := range []string{plainFiles, cachedFiles, judgedFiles} {
		if ours := results[name]; len(ours) > 0 {
			rows = append(rows, row{
				what: what + ", " + name + ": CPU µs/request", ours: spreadOf(ours.cpuPerReq()).String(),
				against: stockFiles + " " + spreadOf(results[stockFiles].cpuPerReq()).String(),
				ratio:   spreadOf(ratios(ours.cpuPerReq(), results[stockFiles].cpuPerReq())),
			})
		}
	}
	return append(rows, compare(results, what+" clear, an anchor", nginxFiles, stockFiles, bound{}, bound{})...), nil
}

// slowRows lets 500 clients read slowly. A gateway with a cache may hold what fits into that besides.
func (l *lab) slowRows(ctx context.Context, gateway *caddy, with string, cache int64) ([]row, error) {
	numbers, err := segments(l.root, slowMedia, video)
	if err != nil {
		return nil, err
	}
	// One segment shows that the address holds; the others are left for the clients.
	res, err := open(ctx, gateway.files, slowMedia, video, numbers[:1], true)
	if err != nil {
		return nil, err
	}
	if res.paths, err = numbered(ctx, gateway.files, slowMedia, numbers); err != nil {
		return nil, err
	}
	fast, err := open(ctx, gateway.files, twoSeconds, video, l.videos, true)
	if err != nil {
		return nil, err
	}
	result, err := slowLoad(ctx, gateway.server, res, fast, l.slow)
	if err != nil {
		return nil, err
	}
	budget := "a budget of " + inFlightBudget
	if !l.options.inFlight {
		budget = "no budget in this build"
	}
	return slowTable(result, fmt.Sprintf("%d clients at 50 KB/s, 5 MB each, %s", slowClients, with), budget, cache), nil
}

// slowTable judges what became of the slow clients.
func slowTable(result slowResult, what, budget string, cache int64) []row {
	memory := float64(result.memory) / (1 << 20)
	beside := row{
		what: what + ": a fast client beside them, 1.5 MB, ms", ours: result.loaded.String(), against: "alone " + result.unloaded.String(),
		bound: atMost(2, 0),
	}
	if result.loaded.rounds > 0 && result.unloaded.median > 0 {
		beside.ratio = spread{median: result.loaded.median / result.unloaded.median, rounds: 1}
	}
	if result.fastRefused > 0 || beside.ratio.rounds == 0 {
		beside.note = fmt.Sprintf("MISSED: %d refused", result.fastRefused)
	}
	return []row{{
		what: what + ": memory, MiB", ours: short(memory), against: budget,
		bound: atMost(float64(inFlightBudgetBytes+cache)/(1<<20), 0), absolute: &memory,
	}, {
		what: what + ": what became of them", ours: fmt.Sprintf("%d served, %d wait, %d refused", result.served, result.waiting, result.refused),
		against: fmt.Sprintf("%d answers 503 with Retry-After", result.refusals),
		note:    "longest wait " + result.longestWait.Round(10*time.Millisecond).String(),
	}, beside}
}
