package caddymodule

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// formFault is an answer of the origin for the address of a form.
type formFault struct {
	name   string
	answer func(w http.ResponseWriter, r *http.Request, good []byte)
	status int // wanted; 502 if zero
}

// sendAs answers as an origin does that has this body for what was asked, a range or the whole file.
func sendAs(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if asked, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		w.Header().Set("Content-Range", "bytes "+asked+"/99999999")
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(body)
}

// bomb is some kilobytes that open to 16 MiB.
var bomb = sync.OnceValue(func() []byte {
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	_, err := zw.Write(make([]byte, 16<<20))
	if err = errors.Join(err, zw.Close()); err != nil {
		panic(err)
	}
	return out.Bytes()
})

// faultsOfAnyForm are none of a form's media.
func faultsOfAnyForm(t *testing.T) []formFault {
	t.Helper()
	refusing := func(code int) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, _ *http.Request, good []byte) { w.WriteHeader(code); _, _ = w.Write(good) }
	}
	sending := func(edit func(good []byte) []byte) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, r *http.Request, good []byte) { sendAs(w, r, edit(bytes.Clone(good))) }
	}
	coded := func(coding string, times int) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, r *http.Request, good []byte) {
			for range times {
				good = gzipped(t, good)
			}
			w.Header().Set("Content-Encoding", coding)
			_, _ = w.Write(good)
		}
	}
	page := []byte("<!DOCTYPE html><title>Sorry</title>" + strings.Repeat(" ", 4000))
	return []formFault{
		{"a redirect", func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Set("Location", "/clear")
			w.WriteHeader(302)
		}, 0},
		{"403 with the media", refusing(403), 0}, {"404 with the media", refusing(404), 404}, {"416 with the media", refusing(416), 0}, {"500 with the media", refusing(500), 0},
		{"an HTML page", sending(func([]byte) []byte { return page }), 0},
		{"an HTML page as large as the media", sending(func(good []byte) []byte { return append(page, bytes.Repeat([]byte(" "), len(good))...)[:len(good)] }), 0},
		{"nothing", sending(func([]byte) []byte { return nil }), 0},
		{"zeros", sending(func(good []byte) []byte { return make([]byte, len(good)) }), 0},
		{"its second half", sending(func(good []byte) []byte { return good[len(good)/2+1:] }), 0},
		{"an announced body that breaks off", func(w http.ResponseWriter, _ *http.Request, good []byte) { cutOff(w, good, len(good)-1) }, 0},
		{"a chunked body that breaks off", func(w http.ResponseWriter, _ *http.Request, good []byte) {
			_, _ = w.Write(good[:len(good)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 0},
		{"gzip that is none", coded("gzip", 0), 0}, {"gzip in gzip", coded("gzip", 2), 0}, {"a coding that was not asked for", coded("br", 0), 0},
		{"a bomb", func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb())
		}, 0},
		{"more than the limit, announced", sending(func(good []byte) []byte { return bytes.Repeat(good, 1+(5<<20)/len(good)) }), 0},
		{"more than the limit, of unknown length", func(w http.ResponseWriter, _ *http.Request, good []byte) {
			_, _ = w.Write([]byte{0, 0x80, 0, 0, 'm', 'o', 'o', 'f'}) // what is a chunk of 8 MiB would be waited for
			for range 60 {
				_, _ = w.Write(make([]byte, 100<<10))
				_ = http.NewResponseController(w).Flush()
			}
		}, 0},
	}
}

// faultsOfRanges are answers that are not the range that was asked for.
func faultsOfRanges() []formFault {
	partial := func(contentRange func(first, last, size int) string, body func(good []byte) []byte) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, r *http.Request, good []byte) {
			var first, last int
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
			if text := contentRange(first, last, 99_999_999); text != "" {
				w.Header().Set("Content-Range", text)
			}
			b := body(good)
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b)
		}
	}
	right := func(first, last, size int) string { return fmt.Sprintf("bytes %d-%d/%d", first, last, size) }
	same := func(good []byte) []byte { return good }
	return []formFault{
		{"206 of a range beside it", partial(func(first, last, size int) string { return right(first+1, last+1, size) }, same), 0},
		{"206 that says nothing", partial(func(int, int, int) string { return "" }, same), 0},
		{"206 of an unknown range", partial(func(_, _, size int) string { return fmt.Sprintf("bytes */%d", size) }, same), 0},
		{"206 of another unit", partial(func(first, last, size int) string { return fmt.Sprintf("items %d-%d/%d", first, last, size) }, same), 0},
		{"206 that is short", partial(right, func(good []byte) []byte { return good[:len(good)-1] }), 0},
		{"206 that is long", partial(right, func(good []byte) []byte { return append(bytes.Clone(good), 0) }), 0},
		{"206 in parts", func(w http.ResponseWriter, r *http.Request, good []byte) {
			w.Header().Set("Content-Type", "multipart/byteranges; boundary=b")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = fmt.Fprintf(w, "--b\r\nContent-Range: bytes %s/99999999\r\n\r\n%s\r\n--b--\r\n", strings.TrimPrefix(r.Header.Get("Range"), "bytes="), good)
		}, 0},
		{"206 that is coded", func(w http.ResponseWriter, r *http.Request, good []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			sendAs(w, r, good)
		}, 0},
		{"200 with a shorter file", func(w http.ResponseWriter, _ *http.Request, good []byte) { _, _ = w.Write(good) }, 0},
	}
}

// TestFaultsInEveryForm covers rows 10, 14, 18, 19 and 42 for all forms: what is not the media of an address becomes no answer,
// reaches nobody, and is not remembered.
func TestFaultsInEveryForm(t *testing.T) {
	ofForms(t, func(t *testing.T, g *gateway, o *formsOrigin, f form, target string) {
		want := g.mustGet(t, target).body
		faults := faultsOfAnyForm(t)
		if f.whole {
			faults = append(faults, formFault{"an unasked 206", func(w http.ResponseWriter, _ *http.Request, good []byte) {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(good)-1, len(good)))
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(good)
			}, 0})
		} else {
			faults = append(faults, faultsOfRanges()...)
		}
		for _, fault := range faults {
			forgetSegments(t)
			o.fault(t, f.file, fault.answer)
			if fault.status == 0 {
				fault.status = http.StatusBadGateway
			}
			checkFault(t, g, f, fault, target, o.read(t, f.file))
			o.play(o.files)
			if f.growing {
				o.fault(t, f.file, grow)
			}
			if got := g.mustGet(t, target).body; !bytes.Equal(got, want) {
				t.Errorf("%s: remembered", fault.name)
			}
		}
	})
}

func checkFault(t *testing.T, g *gateway, f form, fault formFault, target string, clear []byte) {
	t.Helper()
	res, err := g.open(t, http.MethodGet, target, nil)
	if err != nil {
		t.Errorf("%s: %v", fault.name, err)
		return
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil && res.StatusCode == http.StatusOK && strings.Contains(fault.name, "breaks off"): // behind the first chunk
	case err != nil || res.StatusCode != fault.status || res.Header.Get("Cache-Control") != cacheNoStore || res.Header.Get("ETag") != "" ||
		res.Header.Get("Location") != "" || !bytes.Contains(body, []byte(`"reason"`)):
		t.Errorf("%s: %d %s, %d bytes, %v", fault.name, res.StatusCode, res.Header.Get(headerReason), len(body), err)
	}
	if f.piece > 0 && leaks(body, clear, f.piece) || bytes.Contains(body, []byte("Sorry")) {
		t.Errorf("%s: the answer holds what the origin sent", fault.name)
	}
}

// TestCodedAnswersInEveryForm covers row 10: an origin that codes what it was asked not to code is decoded, once.
func TestCodedAnswersInEveryForm(t *testing.T) {
	ofForms(t, func(t *testing.T, g *gateway, o *formsOrigin, f form, target string) {
		want := g.mustGet(t, target).body
		forgetSegments(t)
		file := o.read(t, f.file)
		o.fault(t, f.file, func(w http.ResponseWriter, r *http.Request, _ []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped(t, file))
		})
		res := g.mustGet(t, target, "Accept-Encoding", "gzip, br, zstd")
		if !bytes.Equal(res.body, want) || res.header.Get("Content-Encoding") != "" {
			t.Errorf("%d bytes, want %d; %v", len(res.body), len(want), res.header)
		}
	})
}

// TestTextInPlaceOfMedia: what some form of HLS may leave as it is, media of no form may.
func TestTextInPlaceOfMedia(t *testing.T) {
	text := []byte("WEBVTT\n\n00:00.000 --> 00:01.000\n" + strings.Repeat("Nothing that is encrypted. ", 40))
	ofForms(t, func(t *testing.T, g *gateway, o *formsOrigin, f form, target string) {
		o.fault(t, f.file, func(w http.ResponseWriter, r *http.Request, good []byte) {
			body := text
			if !f.whole {
				body = append(bytes.Clone(text), bytes.Repeat([]byte{' '}, len(good))...)[:len(good)]
			}
			sendAs(w, r, body)
		})
		if res := g.get(t, target); res.status == 200 && bytes.Contains(res.body, text[40:104]) || res.status != 200 && res.status != 502 {
			t.Errorf("%d, %d bytes", res.status, len(res.body))
		}
	})
}
