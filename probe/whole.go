package probe

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/inspect"
)

// The containers that sniff tells apart.
const (
	containerStream = "transport stream"
	containerAudio  = "packed audio"
	containerVTT    = "WebVTT"
	containerMP4    = "MP4"
)

// probeWhole probes segments that are encrypted from their first byte to their last (8216, 4.3.2.4).
func (p *prober) probeWhole(ctx context.Context, s *stretch, chosen []segment) {
	for _, signal := range s.protection.systems {
		p.askWithoutDevice(ctx, signal, signal.headerKID())
	}
	at := s.place()
	if s.protection.keyURI == "" {
		p.problem(LicenseFailed, at, "AES-128 without a key URI")
	}
	secret, ok := [drm.KeySize]byte{}, false
	if s.protection.keyURI != "" {
		secret, ok = p.rawKey(ctx, at, s.protection.keyURI)
	}
	media := p.wholeInit(ctx, s, secret, ok)
	for _, seg := range chosen {
		if ctx.Err() != nil {
			return
		}
		wanted := typesMedia
		if s.kind == kindText {
			wanted = typesText
		}
		body, at, fetched := p.fetchSegment(ctx, s, seg, wanted)
		if !fetched {
			continue
		}
		if kind := sniff(body); kind != "" {
			p.problem(ClearSegment, at, "the manifest says AES-128, and it is %s in clear", kind)
			continue
		}
		p.tryBare(ctx, s, at, seg.url, body, nil)
		if ok {
			p.openWhole(s, at, seg, body, secret, media)
		}
	}
}

// wholeInit reads the init segment, which is encrypted itself if its EXT-X-KEY stands in front of it.
func (p *prober) wholeInit(ctx context.Context, s *stretch, secret [drm.KeySize]byte, hasKey bool) *inspect.Media {
	if s.init == nil {
		return nil
	}
	if !s.protection.initEncrypted {
		return p.readInit(ctx, s)
	}
	at := s.place()
	res, ok := p.get(ctx, at, *s.init, maxInit)
	if at.URL = public(s.init.url); !ok || !hasKey {
		return nil
	}
	if s.protection.iv == nil {
		p.problem(ManifestBroken, at, "an encrypted init segment needs an IV in its EXT-X-KEY")
		return nil
	}
	plain, err := decryptWhole(res.Body, secret, s.protection.iv)
	if err != nil {
		p.problem(InitBroken, at, "%v", err)
		return nil
	}
	media, err := inspect.ReadInit(plain)
	if err != nil {
		p.problem(InitBroken, at, "%v", err)
	}
	return media
}

// openWhole decrypts a segment and looks at what comes out. That is proof: every container begins with what noise does not.
func (p *prober) openWhole(s *stretch, at place, seg segment, body []byte, secret [drm.KeySize]byte, media *inspect.Media) {
	iv := s.protection.iv
	if iv == nil {
		iv = make([]byte, drm.KeySize)
		binary.BigEndian.PutUint64(iv[8:], uint64(seg.number))
	}
	plain, err := decryptWhole(body, secret, iv)
	if errors.Is(err, errBlocks) {
		p.problem(SegmentBroken, at, "%v", err)
		return
	}
	if kind := sniff(plain); err != nil || kind == "" {
		p.problem(WrongKey, at, "what comes out of AES-128 is no media")
		return
	} else if kind == containerMP4 && media != nil {
		runs, err := s.open(media)(plain, nil)
		if err != nil {
			p.problem(SegmentBroken, at, "%v", err)
			return
		}
		p.checkRuns(s, at, runs)
		p.checkTime(s, at, seg, runs)
	}
	r := p.rendition(s.rendition)
	r.Decrypted++
	r.Proven++
}

var (
	errBlocks  = errors.New("its length is no multiple of 16 bytes, as that of AES-128 is")
	errPadding = errors.New("it does not end with a padding")
)

// decryptWhole decrypts AES-128 with CBC and the padding of PKCS7.
func decryptWhole(b []byte, secret [drm.KeySize]byte, iv []byte) ([]byte, error) {
	if len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return nil, errBlocks
	}
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(b))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, b)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > aes.BlockSize || !bytes.Equal(plain[len(plain)-padding:], bytes.Repeat([]byte{byte(padding)}, padding)) {
		return nil, errPadding
	}
	return plain[:len(plain)-padding], nil
}

// sniff says what media is by its beginning, empty if by nothing.
func sniff(b []byte) string {
	const packet = 188
	switch {
	case len(b) >= 2*packet && b[0] == 0x47 && b[packet] == 0x47 && (len(b) < 3*packet || b[2*packet] == 0x47):
		return containerStream
	case bytes.HasPrefix(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), []byte("WEBVTT")):
		return containerVTT
	case len(b) >= 10 && string(b[:3]) == "ID3" && b[3] < 0xff && b[6]|b[7]|b[8]|b[9] < 0x80:
		return containerAudio
	case isADTS(b), isMP3(b), len(b) >= 2 && b[0] == 0x0b && b[1] == 0x77 && len(b) > 8 && b[5]>>3 <= 16:
		return containerAudio
	case len(b) >= 8 && slices.Contains([]string{"ftyp", "styp", "moov", "moof", "sidx", "emsg", "prft", "free"}, string(b[4:8])):
		return containerMP4
	}
	return ""
}

// isADTS reports whether two frames of AAC follow each other, or one is all that there is.
func isADTS(b []byte) bool {
	for range 2 {
		if len(b) < 7 || b[0] != 0xff || b[1]&0xf6 != 0xf0 {
			return false
		}
		length := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5
		if length == len(b) {
			return true
		}
		if length < 7 || length > len(b) {
			return false
		}
		b = b[length:]
	}
	return true
}

// isMP3 reports whether b begins like a frame of MPEG audio, layer III, with another behind it, which is seldom so in noise.
func isMP3(b []byte) bool {
	const longest = 1441 // of a frame, in bytes
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe6 != 0xe2 || b[1]>>3&3 == 1 || b[2]>>4 == 0 || b[2]>>4 == 15 || b[2]>>2&3 == 3 {
		return false
	}
	for at := 4; at <= longest && at+2 < len(b); at++ {
		if b[at] == b[0] && b[at+1] == b[1] && b[at+2]&12 == b[2]&12 {
			return true
		}
	}
	return false
}
