package probe

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/caddy-drm/caddy-drm/inspect"
)

// tryBare asks for what was fetched without the elements of this gateway: nothing clear may be there. A server that has no such elements
// serves protected files at their own addresses, where everything is looked at already.
func (p *prober) tryBare(ctx context.Context, s *stretch, at place, url string, sealed []byte, media *inspect.Media) {
	address, ok := bare(url)
	if !ok || s.protection.scheme == "" || p.leaks[address] {
		return
	}
	p.leaks[address] = true
	p.report.LeaksTried++
	res, err := p.fetcher.Fetch(ctx, Request{Method: "GET", URL: address, Limit: maxSegment})
	if err != nil || res.Status < 200 || res.Status > 299 || bytes.Equal(res.Body, sealed) {
		return
	}
	at.URL, at.Box, at.Line = public(address), "", 0
	if kind := clearMedia(res.Body, media); kind != "" {
		p.problem(ClearLeak, at, "%s in clear is served without a seal, with status %d", kind, res.Status)
	}
}

// clearMedia says what clear media is, empty for what is encrypted or none. media is the protected init segment, which may be nil.
func clearMedia(b []byte, media *inspect.Media) string {
	kind := sniff(b)
	if kind != containerMP4 {
		return kind
	}
	for rest := b; len(rest) >= 8; {
		size, box := uint64(binary.BigEndian.Uint32(rest)), string(rest[4:8])
		if size == 1 && len(rest) >= 16 {
			size = binary.BigEndian.Uint64(rest[8:])
		}
		if size < 8 || size > uint64(len(rest)) {
			size = uint64(len(rest)) // cut, or to the end
		}
		switch content := rest[:size]; box {
		case "moov":
			if bytes.Contains(content, []byte("encv")) || bytes.Contains(content, []byte("enca")) {
				return ""
			}
			return kind
		case "moof":
			return clearFragment(b, content, media)
		}
		rest = rest[size:]
	}
	return ""
}

// clearFragment looks at a segment whose first moof is given.
func clearFragment(b, moof []byte, media *inspect.Media) string {
	if media != nil {
		if runs, err := media.Open(b, nil); err == nil {
			for _, run := range runs {
				if !run.Track.Text && (!run.Marked || run.Clear) {
					return containerMP4
				}
			}
			return ""
		}
	}
	if bytes.Contains(moof, []byte("senc")) || bytes.Contains(moof, []byte("saiz")) {
		return ""
	}
	return containerMP4
}
