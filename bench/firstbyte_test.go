package main

import "testing"

// TestFirstByteTable: each row has the two numbers that it names, and both comparisons with all of the work are judged.
func TestFirstByteTable(t *testing.T) {
	m := firstBytes{gateway: 6, stock: 2, last: 10, stages: stages{read: 3, planned: 3.5, first: 4, all: 8}}
	rows := firstByteTable([]firstBytes{m, m})
	for i, want := range []struct {
		ratio  float64
		result string
	}{{6. / 8, "MISSED"}, {6. / 10, "met"}, {6. / 2, ""}, {4. / 8, ""}, {0, ""}} {
		if got := rows[i]; got.ratio.median != want.ratio || got.result() != want.result {
			t.Errorf("row %d: ratio %v, %q, want %v, %q", i, got.ratio, got.result(), want.ratio, want.result)
		}
	}
	if got, want := rows[4].ours, "read 3.000, plan 0.500, hash and first window 0.500, other windows 4.000"; got != want {
		t.Errorf("stages %q, want %q", got, want)
	}
}
