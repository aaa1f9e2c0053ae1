package caddymodule

import (
	"sort"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// options maps the words of a block to what reads their arguments, starting at the word.
type options map[string]option

type option any // func() error, or repeated

// repeated is an option that may stand more than once.
type repeated func() error

func repeatable(read func() error) option { return repeated(read) }

// eachOption reads a block. An unknown word, a word that stands twice and a surplus argument are errors with file and
// line.
func eachOption(d *caddyfile.Dispenser, known options) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		var read func() error
		switch option := known[word].(type) {
		case repeated:
			read = option
		case func() error:
			if seen[word] {
				return d.Errf("option %q stands twice", word)
			}
			read = option
		default:
			return d.Errf("unknown option %q: want one of %s", word, strings.Join(known.words(), ", "))
		}
		seen[word] = true
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

func (o options) words() []string {
	words := make([]string, 0, len(o))
	for word := range o {
		words = append(words, word)
	}
	sort.Strings(words)
	return words
}

// oneArg reads exactly one argument that is not empty.
func oneArg(d *caddyfile.Dispenser, into *string) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	*into = d.Val()
	if *into == "" {
		return d.Err("empty argument")
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// someArgs reads one argument or more.
func someArgs(d *caddyfile.Dispenser, into *[]string) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	*into = append(*into, args...)
	return nil
}

// wordArg reads one argument that is one of words.
func wordArg(d *caddyfile.Dispenser, into *string, words ...string) error {
	name := d.Val()
	if err := oneArg(d, into); err != nil {
		return err
	}
	if !isOneOf(*into, words...) {
		return d.Errf("%s %q: want %s", name, *into, strings.Join(words, ", "))
	}
	return nil
}

// durationArg reads exactly one duration above zero.
func durationArg(d *caddyfile.Dispenser, into *caddy.Duration) error {
	if err := nextDuration(d, into); err != nil {
		return err
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

func nextDuration(d *caddyfile.Dispenser, into *caddy.Duration) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	duration, err := caddy.ParseDuration(d.Val())
	if err != nil || duration <= 0 {
		return d.Errf("duration %q: want for instance 30s or 4h", d.Val())
	}
	*into = caddy.Duration(duration)
	return nil
}

// numberArg reads the next argument, a number above zero.
func numberArg(d *caddyfile.Dispenser, into *int) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	number, err := strconv.Atoi(d.Val())
	if err != nil || number <= 0 {
		return d.Errf("%q: want a whole number above zero", d.Val())
	}
	*into = number
	return nil
}

// sizeArg reads a size such as 64MiB.
func sizeArg(d *caddyfile.Dispenser, into *int64) error {
	if err := nextSize(d, into); err != nil {
		return err
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// nextSize reads the next argument, a size above zero.
func nextSize(d *caddyfile.Dispenser, into *int64) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	size, err := humanize.ParseBytes(d.Val())
	if err != nil || size == 0 || size > 1<<40 {
		return d.Errf("size %q: want for instance 64MiB", d.Val())
	}
	*into = int64(size)
	return nil
}
