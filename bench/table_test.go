package main

import (
	"strings"
	"testing"
)

func TestBounds(t *testing.T) {
	for _, test := range []struct {
		bound bound
		value float64
		want  string
	}{
		{atLeast(1.3, 1.8), 1.29, "MISSED"},
		{atLeast(1.3, 1.8), 1.3, "met"},
		{atLeast(1.3, 1.8), 1.8, "aim"},
		{atMost(0.7, 0.5), 0.71, "MISSED"},
		{atMost(0.7, 0.5), 0.7, "met"},
		{atMost(0.7, 0.5), 0.5, "aim"},
		{atMost(2, 0), 1, "met"}, // there is no aim to reach
		{bound{}, 1, ""},
	} {
		if got := test.bound.judge(test.value); got != test.want {
			t.Errorf("%v of %+v is %q, want %q", test.value, test.bound, got, test.want)
		}
	}
}

func TestTable(t *testing.T) {
	low := 0.3
	var b strings.Builder
	err := writeTable(&b, []section{{heading: "empty"}, {heading: "server", rows: []row{
		{what: "ratio", ours: "1", against: "peer 2", ratio: spread{0.5, 0.4, 0.6, 3}, bound: atLeast(0.8, 1)},
		{what: "absolute", ours: "0.3", ratio: spread{9, 9, 9, 1}, bound: atMost(0.7, 0.2), absolute: &low},
		{what: "unmeasured", bound: atLeast(1, 2), note: "no cache"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `
| Measured   | Ours | Against | Ratio                | Must  | Aim   | Result   |
|------------|------|---------|----------------------|-------|-------|----------|
| **server** |      |         |                      |       |       |          |
| ratio      | 1    | peer 2  | 0.500 [0.400..0.600] | ≥ 0.8 | ≥ 1   | MISSED   |
| absolute   | 0.3  |         | 9.000                | ≤ 0.7 | ≤ 0.2 | met      |
| unmeasured |      |         |                      | ≥ 1   | ≥ 2   | no cache |
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

// A row that was not measured must not look as if it had been met.
func TestUnmeasuredRowsHaveNoResult(t *testing.T) {
	if got := (row{what: "nothing", bound: atMost(1, 0)}).result(); got != "" {
		t.Errorf("result %q", got)
	}
}
