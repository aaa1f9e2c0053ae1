package main

import (
	"context"
	"fmt"
	"time"
)

// target is one server under load: what it is called, what it is asked for, and whose processor time counts.
type target struct {
	name    string
	res     resource
	servers []*server
}

// series are the loads of a target, one for each round.
type series []load

func (s series) perSecond() []float64 { return s.pick(func(l load) float64 { return l.perSecond }) }
func (s series) cpuPerGB() []float64  { return s.pick(func(l load) float64 { return l.cpuPerGB }) }
func (s series) cpuPerReq() []float64 { return s.pick(func(l load) float64 { return l.cpuPerReq }) }

func (s series) pick(field func(load) float64) []float64 {
	out := make([]float64, len(s))
	for i, l := range s {
		out[i] = field(l)
	}
	return out
}

// interleave runs every target once in each round, in an order that turns from round to round, so that none always
// follows the same neighbor. A first round in front warms up and does not count.
func interleave(ctx context.Context, g *generator, targets []target, rounds int, length time.Duration) (map[string]series, error) {
	results := make(map[string]series, len(targets))
	for _, t := range targets {
		if _, err := g.run(ctx, t.res, time.Second, t.servers...); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	for round := range rounds {
		for i := range targets {
			t := targets[(i+round)%len(targets)]
			l, err := g.run(ctx, t.res, length, t.servers...)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
			results[t.name] = append(results[t.name], l)
		}
	}
	return results, nil
}
