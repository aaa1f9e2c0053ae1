package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/caddy-drm/caddy-drm/drm"
)

// MaxBytes bounds what Explain takes.
const MaxBytes = 256 << 20

// ErrUnknown is returned for input that is none of what the package knows.
var ErrUnknown = errors.New("neither a pssh box, a PlayReady Object, an object of ClearKey, fragmented MP4, an MPD nor a playlist")

// Options are what belongs to the input.
type Options struct {
	// Init is the init segment of a media segment, if the input does not begin with it.
	Init []byte
	// Keys are tried on protected samples. Neither they nor what they open is in the result.
	Keys []drm.ContentKey
}

// Result is what there is to say of an input.
type Result struct {
	// Text has a line for each thing, indented below what it belongs to.
	Text string
	// Broken counts what cannot be as it is, WrongKey what a key does not open.
	Broken, WrongKey int
}

// Explain says what b holds. It returns ErrUnknown, or an error that says where b breaks off. b is not changed.
func Explain(b []byte, o Options) (Result, error) {
	if len(b) > MaxBytes || len(o.Init) > MaxBytes {
		return Result{}, fmt.Errorf("more than %d bytes", MaxBytes)
	}
	explain, err := explainerOf(b)
	if err != nil {
		return Result{}, err
	}
	var w writer
	if err := explain(&w, b, o); err != nil {
		return Result{}, err
	}
	return Result{w.text.String(), w.broken, w.wrongKey}, nil
}

type explainer func(w *writer, b []byte, o Options) error

// explainerOf looks at what the input begins with.
func explainerOf(b []byte) (explainer, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff")))
	switch {
	case len(b) >= 8 && string(b[4:8]) == "pssh":
		return func(w *writer, b []byte, _ Options) error { return explainPsshs(w, b) }, nil
	case len(b) >= 8 && isBoxOfMedia(string(b[4:8])):
		return explainMedia, nil
	case isPlayReadyObject(b):
		return func(w *writer, b []byte, _ Options) error { return explainPlayReady(w, b) }, nil
	case bytes.HasPrefix(text, []byte("#EXTM3U")):
		return func(w *writer, _ []byte, _ Options) error { return explainPlaylist(w, text) }, nil
	case bytes.HasPrefix(text, []byte("<")):
		return func(w *writer, _ []byte, _ Options) error { return explainMPD(w, text) }, nil
	case bytes.HasPrefix(text, []byte("{")):
		return func(w *writer, _ []byte, _ Options) error { return explainClearKey(w, text) }, nil
	}
	if decoded, err := decodeBase64(string(text)); err == nil && len(decoded) > 0 {
		if len(decoded) >= 8 && string(decoded[4:8]) == "pssh" {
			return func(w *writer, _ []byte, _ Options) error { return explainPsshs(w, decoded) }, nil
		}
		if isPlayReadyObject(decoded) {
			return func(w *writer, _ []byte, _ Options) error { return explainPlayReady(w, decoded) }, nil
		}
	}
	return nil, ErrUnknown
}

// isBoxOfMedia reports whether a file of fragmented MP4 may begin with the box.
func isBoxOfMedia(kind string) bool {
	switch kind {
	case "ftyp", "styp", "moov", "moof", "sidx", "ssix", "emsg", "prft", "free":
		return true
	}
	return false
}

func isPlayReadyObject(b []byte) bool {
	return len(b) >= 10 && uint64(binary.LittleEndian.Uint32(b)) == uint64(len(b))
}

// decodeBase64 reads either alphabet, with or without padding and line breaks.
func decodeBase64(text string) ([]byte, error) {
	text = strings.NewReplacer("\n", "", "\r", "", " ", "", "\t", "", "-", "+", "_", "/").Replace(text)
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
}

// writer collects lines; what is below a line is indented.
type writer struct {
	text             strings.Builder
	depth            int
	broken, wrongKey int
}

func (w *writer) line(format string, args ...any) {
	w.text.WriteString(strings.Repeat("  ", w.depth) + visible(fmt.Sprintf(format, args...)) + "\n")
}

// visible keeps what others wrote from ending a line or speaking to a terminal, wherever it came through unquoted.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// fault says what cannot be as it is.
func (w *writer) fault(format string, args ...any) {
	w.broken++
	w.line("broken: "+format, args...)
}

// below runs f one step further in.
func (w *writer) below(f func()) {
	w.depth++
	f()
	w.depth--
}

// printable quotes text that others wrote, so that it ends no line and says nothing to a terminal.
func printable(text string) string {
	const longest = 200
	if len(text) > longest {
		return fmt.Sprintf("%q… (%d bytes)", text[:longest], len(text))
	}
	return fmt.Sprintf("%q", text)
}

// withoutQuery keeps the credentials of a signed URL out of the result.
func withoutQuery(url string) string {
	place, query, found := strings.Cut(url, "?")
	if found && query != "" {
		place += "?…"
	}
	if scheme, rest, ok := strings.Cut(place, "://"); ok {
		if authority, path, _ := strings.Cut(rest, "/"); strings.Contains(authority, "@") {
			place = scheme + "://…@" + authority[strings.LastIndexByte(authority, '@')+1:] + "/" + path
		}
	}
	return printable(place)
}

// plural is a number of things.
func plural[N int | uint32 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
