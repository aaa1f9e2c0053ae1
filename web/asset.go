package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
)

// maxAssetBytes bounds what a gzip file may inflate to, so that a broken or hostile Players cannot eat the memory.
const maxAssetBytes = 16 << 20

// asset is one file that the page consists of, held compressed.
type asset struct {
	contentType string
	gzipped     []byte
	size        int    // of the inflated file, in bytes
	digest      string // of the inflated file: 16 hexadecimal digits of its SHA-256
}

// contentTypes are the only ones that the page has; Go's table of types depends on the machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// newAsset compresses data. name decides the content type.
func newAsset(name string, data []byte) *asset {
	var buf bytes.Buffer
	// Neither call can fail: the level is valid and a Buffer takes everything.
	zw, _ := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	_, _ = zw.Write(data)
	_ = zw.Close()
	return describeAsset(name, buf.Bytes(), data)
}

// newGzippedAsset takes a file that is compressed already, and inflates it once to learn its size and digest.
func newGzippedAsset(name string, gzipped []byte) (*asset, error) {
	zr, err := gzip.NewReader(bytes.NewReader(gzipped))
	if err != nil {
		return nil, fmt.Errorf("inflating %s: %w", name, err)
	}
	data, err := io.ReadAll(io.LimitReader(zr, maxAssetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("inflating %s: %w", name, err)
	}
	if len(data) > maxAssetBytes {
		return nil, fmt.Errorf("inflating %s: more than %d bytes", name, maxAssetBytes)
	}
	return describeAsset(name, gzipped, data), nil
}

func describeAsset(name string, gzipped, data []byte) *asset {
	sum := sha256.Sum256(data)
	contentType, ok := contentTypes[path.Ext(name)]
	if !ok {
		contentType = "application/octet-stream"
	}
	return &asset{contentType: contentType, gzipped: gzipped, size: len(data), digest: hex.EncodeToString(sum[:8])}
}

// serve answers a GET or HEAD. A request whose query names the digest (?v=…) can be cached forever; every other one is
// revalidated, because the URL stays when the file changes.
func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Vary", "Accept-Encoding")
	if r.URL.RawQuery == "v="+a.digest {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	// The two representations differ in bytes, so a strong validator must tell them apart (RFC 9110, 8.8.3.3).
	zipped := acceptsGzip(r.Header.Values("Accept-Encoding"))
	tag := `"` + a.digest + `"`
	if zipped {
		tag = `"` + a.digest + `-gzip"`
	}
	h.Set("ETag", tag)
	if matchesTag(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	size := a.size
	if zipped {
		size = len(a.gzipped)
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(size))
	if r.Method == http.MethodHead {
		return
	}
	a.writeTo(w, zipped)
}

// writeTo ignores errors of w: they mean that the client left.
func (a *asset) writeTo(w io.Writer, zipped bool) {
	if zipped {
		_, _ = w.Write(a.gzipped)
		return
	}
	zr, err := gzip.NewReader(bytes.NewReader(a.gzipped))
	if err != nil {
		panic(http.ErrAbortHandler) // it inflated when the handler was made
	}
	_, _ = io.Copy(w, zr) //nolint:gosec // what is embedded is no bomb
}
