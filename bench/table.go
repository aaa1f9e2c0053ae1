package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// bound is a limit of a row. The zero bound is none.
type bound struct {
	must, aim float64
	atMost    bool // smaller is better
}

func atLeast(must, aim float64) bound { return bound{must: must, aim: aim} }
func atMost(must, aim float64) bound  { return bound{must: must, aim: aim, atMost: true} }

// text prints the two limits.
func (b bound) text() (must, aim string) {
	sign := "≥ "
	if b.atMost {
		sign = "≤ "
	}
	if b.must != 0 {
		must = sign + fmt.Sprint(b.must)
	}
	if b.aim != 0 {
		aim = sign + fmt.Sprint(b.aim)
	}
	return must, aim
}

// judge says what v is, measured by the limits.
func (b bound) judge(v float64) string {
	reaches := func(limit float64) bool { return b.atMost && v <= limit || !b.atMost && v >= limit }
	switch {
	case b == bound{}:
		return ""
	case b.aim != 0 && reaches(b.aim):
		return "aim"
	case reaches(b.must):
		return "met"
	default:
		return "MISSED"
	}
}

// row is one line of the table.
type row struct {
	what          string
	ours, against string
	ratio         spread
	bound         bound
	absolute      *float64 // what is judged, if it is not the ratio
	note          string   // in place of a result, for what could not be measured
}

// result is met, aim, MISSED, or the note of a row without limits.
func (r row) result() string {
	switch {
	case r.note != "":
		return r.note
	case r.absolute != nil:
		return r.bound.judge(*r.absolute)
	case r.ratio.rounds == 0:
		return ""
	default:
		return r.bound.judge(r.ratio.median)
	}
}

// section is a group of rows under a heading.
type section struct {
	heading string
	rows    []row
}

// writeTable prints all sections as one Markdown table, padded so that it reads as well on a terminal.
func writeTable(w io.Writer, sections []section) error {
	cells := [][]string{{"Measured", "Ours", "Against", "Ratio", "Must", "Aim", "Result"}}
	for _, s := range sections {
		if len(s.rows) == 0 {
			continue
		}
		cells = append(cells, []string{"**" + s.heading + "**", "", "", "", "", "", ""})
		for _, r := range s.rows {
			must, aim := r.bound.text()
			ratio := ""
			if r.ratio.rounds > 0 {
				ratio = r.ratio.String()
			}
			cells = append(cells, []string{r.what, r.ours, r.against, ratio, must, aim, r.result()})
		}
	}
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, line := range cells {
		for i, cell := range line {
			b.WriteString("| " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + " ")
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
