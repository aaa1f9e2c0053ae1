package caddymodule

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
)

// replace serves other content under the path of a file, in whatever ranges are asked for.
func (o *formsOrigin) replace(t *testing.T, path string, edit func(file []byte)) {
	t.Helper()
	file := bytes.Clone(o.read(t, path))
	edit(file)
	o.play(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return o.files(w, r)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
		return true
	})
}

// TestReplacedMediaInEveryForm covers rows 3 and 4: other content under the same address, with the same sequence number, has another
// ETag. Under cenc it shares no keystream with what was there before; under AES-128, whose IV is the sequence number, two contents
// have in common what they begin with, in whole blocks, and nothing behind it.
func TestReplacedMediaInEveryForm(t *testing.T) {
	ofForms(t, func(t *testing.T, g *gateway, o *formsOrigin, f form, target string) {
		const unmatched = `"none"` // so that a growing segment has an ETag
		o.forget()
		before := g.mustGet(t, target, "If-None-Match", unmatched)
		clear := o.clearBytes(t, f)
		at := bytes.Index(o.read(t, f.file), clear) + len(clear)*3/4
		o.replace(t, f.file, func(file []byte) { file[at] ^= 0x10 })
		forgetSegments(t)
		after := g.mustGet(t, target, "If-None-Match", unmatched)
		if len(before.body) == 0 || after.header.Get("ETag") == before.header.Get("ETag") || bytes.Equal(after.body, before.body) {
			t.Fatalf("%d bytes are taken for what they were", len(after.body))
		}
		same := 0 // blocks of 16 bytes behind the change, and in front of it
		prefix := 0
		for i := 0; i+16 <= min(len(before.body), len(after.body)); i += 16 {
			if equal := bytes.Equal(before.body[i:i+16], after.body[i:i+16]); equal && i == prefix {
				prefix += 16
			} else if equal {
				same++
			}
		}
		changed := len(clear) * 3 / 4
		switch {
		case strings.HasSuffix(f.name, ", AES-128"):
			if prefix != changed/16*16 || same > 0 {
				t.Errorf("a change at byte %d: %d bytes in common in front, %d blocks behind", changed, prefix, same)
			}
		case f.cenc:
			n := min(len(clear)/3, len(before.body)/2)
			tail := before.body[len(before.body)-n:]
			if overlap := after.body[len(after.body)-n:]; countEqual(tail, overlap) > len(tail)/2 { // headers in clear are the same, and little
				t.Errorf("%d of the last %d bytes are as they were: one keystream", countEqual(tail, overlap), len(tail))
			}
		case f.piece == 0:
			if len(after.body) != len(clear) || countEqual(after.body, clear) != len(clear)-1 {
				t.Error("not what the origin has now")
			}
		}
		if f.holds(after.body, clear) {
			t.Error("clear bytes")
		}
	})
}

func countEqual(a, b []byte) (n int) {
	for i := range a {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}

// TestReplacedInitInEveryForm covers row 20: with another init segment, or another segment index, the address is of the past.
func TestReplacedInitInEveryForm(t *testing.T) {
	ofForms(t, func(t *testing.T, g *gateway, o *formsOrigin, f form, target string) {
		want := g.mustGet(t, target).body
		forgetAll := func() {
			forgetSegments(t)
			forgetInits()
			sharedCaches().indexes.Clear()
		}
		if f.init == "" {
			return // transport streams and packed audio describe themselves
		}
		places := map[string]int{"mvhd": 11} // a time
		if strings.Contains(target, "~n.") {
			places["sidx"] = 35 // the duration of the first entry
		}
		for place, at := range places {
			o.replace(t, f.init, func(file []byte) { file[bytes.Index(file, []byte(place))+at] ^= 1 })
			forgetAll()
			if res := g.get(t, target); res.status != 404 || res.reason() != "init_replaced" || res.header.Get("Cache-Control") != cacheNoStore {
				t.Errorf("%s: %d %s", place, res.status, res.reason())
			}
		}
		o.play(o.files)
		if f.growing {
			o.fault(t, f.file, grow)
		}
		forgetAll()
		if again := g.mustGet(t, target); !bytes.Equal(again.body, want) {
			t.Error("with the old one back, the segment is another one")
		}
	})
}
