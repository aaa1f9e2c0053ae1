package caddymodule

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// padded sends a segment behind free space, which segments may have, so that it takes that much more memory.
func padded(w http.ResponseWriter, r *http.Request, good []byte, bytes int) {
	b := make([]byte, bytes, bytes+len(good))
	b[0], b[1], b[2], b[3] = byte(bytes>>24), byte(bytes>>16), byte(bytes>>8), byte(bytes)
	copy(b[4:], "free")
	sendAs(w, r, append(b, good...))
}

// TestMemoryBesideTheSegment: what is held beside the clear segment is claimed too: the parts that a part depends on, frames that
// are encrypted into memory of their own, the copy that ranges are slices of, a decoded body.
func TestMemoryBesideTheSegment(t *testing.T) {
	o, address := newFormsOrigin(t)
	forms := make(map[string]form)
	for _, f := range allForms() {
		forms[f.name] = f
	}
	for name, test := range map[string]struct {
		form   string
		path   string // at the origin, of what is large
		answer func(w http.ResponseWriter, r *http.Request, good []byte)
		header []string
		free   int64 // bytes of the budget, charged: enough for the segment alone
	}{
		"a lead": {
			form: "part behind a lead", path: "/x/parts/av1_0.m4s", free: 2 << 20,
			answer: func(w http.ResponseWriter, r *http.Request, good []byte) { padded(w, r, good, 2<<20) },
		},
		"frames": {
			form: "transport stream, SAMPLE-AES", path: "/x/ts/v_2.ts", free: 4 << 20,
			answer: func(w http.ResponseWriter, r *http.Request, good []byte) {
				sendAs(w, r, append(good[:len(good):len(good)], strings.Repeat("\x47\x1f\xff\x10"+strings.Repeat("\xff", 184), (5<<19)/188)...))
			},
		},
		"the copy for a range": {
			form: "segment by template, cenc", path: "/demo/video/360p/seg_2.m4s", free: 4 << 20, header: []string{"Range", "bytes=0-9"},
			answer: func(w http.ResponseWriter, r *http.Request, good []byte) { padded(w, r, good, 2<<20) },
		},
		"a decoded body": {
			form: "segment by template, cenc", path: "/demo/video/360p/seg_2.m4s", free: 3 << 20,
			answer: func(w http.ResponseWriter, r *http.Request, good []byte) {
				coded := &strings.Builder{}
				rec := &bodyOnly{ResponseWriter: w, body: coded}
				padded(rec, r, good, 3<<20)
				body := gzipped(t, []byte(coded.String()))
				w.Header().Set("Content-Encoding", "gzip")
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				_, _ = w.Write(body)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, "ORIGIN", address)
			g.load(t, strings.Replace(globalBlock, "segment_cache off", "segment_cache off\n\t\tin_flight 16MiB 100ms", 1)+formsSite)
			t.Cleanup(func() { sharedMemory().inFlight.Resize(defaultInFlight) })
			o.play(o.files)
			target := forms[test.form].find(t, g)
			o.fault(t, test.path, test.answer)
			g.mustGet(t, target) // with all of the budget
			grant, err := sharedMemory().inFlight.Acquire(t.Context(), 16<<20-test.free, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			res := g.get(t, target, test.header...)
			grant.Release()
			if res.status != 503 || res.reason() != "busy" {
				t.Errorf("%d %s, %d bytes", res.status, res.reason(), len(res.body))
			}
			if after := g.get(t, target, test.header...); after.status >= 300 {
				t.Errorf("with memory: %d %s", after.status, after.reason())
			}
		})
	}
}

// bodyOnly keeps a body in place of sending it.
type bodyOnly struct {
	http.ResponseWriter
	body *strings.Builder
}

func (b *bodyOnly) Write(p []byte) (int, error) { return b.body.Write(p) }
