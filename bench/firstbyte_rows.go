package main

import (
	"context"
	"strings"
)

// firstByteRows compares the first byte of a 6 s segment with the time to read and encrypt all of it, and with stock Caddy.
func (l *lab) firstByteRows(ctx context.Context, t trio) ([]row, error) {
	f := new(firstByteLab)
	var err error
	if f.protected, err = open(ctx, t.plain.files, sixSeconds, video, l.six, true); err != nil {
		return nil, err
	}
	if f.clear, err = open(ctx, t.stock.files, sixSeconds, video, l.six, false); err != nil {
		return nil, err
	}
	if f.whole, err = newWholeSegment(l.root, l.six); err != nil {
		return nil, err
	}
	if f.gateway, err = dial(t.plain.files); err != nil {
		return nil, err
	}
	defer f.gateway.conn.Close()
	if f.stock, err = dial(t.stock.files); err != nil {
		return nil, err
	}
	defer f.stock.conn.Close()
	var all []firstBytes
	for round := range l.rounds + 1 {
		m, err := f.round(ctx, l.firstBytes)
		if err != nil {
			return nil, err
		}
		if round > 0 { // the first one warms up
			all = append(all, m)
		}
	}
	return firstByteTable(all), nil
}

// firstByteTable judges the first byte over HTTP by the time to read and encrypt all of a segment, without a server and with
// one. The other rows say where the time is.
func firstByteTable(all []firstBytes) []row {
	pick := func(field func(m firstBytes) float64) (v []float64) {
		for _, m := range all {
			v = append(v, field(m))
		}
		return v
	}
	gateways := pick(func(m firstBytes) float64 { return m.gateway })
	firsts := pick(func(m firstBytes) float64 { return m.first })
	wholes := pick(func(m firstBytes) float64 { return m.all })
	compare := func(what string, ours []float64, against string, others []float64, limit bound) row {
		return row{
			what: what, ours: spreadOf(ours).String(), against: against + " " + spreadOf(others).String(),
			ratio: spreadOf(ratios(ours, others)), bound: limit,
		}
	}
	stage := func(name string, field func(m firstBytes) float64) string {
		return name + " " + short(spreadOf(pick(field)).median)
	}
	what := "6 s cenc, 4.5 MB, not cached: first byte, ms"
	return []row{
		compare(what, gateways, "read and encrypt all, no server", wholes, atMost(0.7, 0.55)),
		compare(what, gateways, "last byte alone", pick(func(m firstBytes) float64 { return m.last }), atMost(0.7, 0.55)),
		compare(what, gateways, "stock Caddy, clear", pick(func(m firstBytes) float64 { return m.stock }), bound{}),
		compare("same, no server: first window, ms", firsts, "read and encrypt all", wholes, bound{}),
		{what: "same, no server: each stage, ms", ours: strings.Join([]string{
			stage("read", func(m firstBytes) float64 { return m.read }),
			stage("plan", func(m firstBytes) float64 { return m.planned - m.read }),
			stage("hash and first window", func(m firstBytes) float64 { return m.first - m.planned }),
			stage("other windows", func(m firstBytes) float64 { return m.all - m.first }),
		}, ", ")},
	}
}
