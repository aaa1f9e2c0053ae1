package e2e_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// Picture and sound in one transport stream, addressed by ranges, plays.
func TestTransportStreamOfRangesPlays(t *testing.T) {
	address := mediaGateway(t, newRangeOrigin(t).URL)
	for _, c := range []struct {
		player player.Player
		site   string
	}{{player.Shaka, "auto"}, {player.HlsJS, "auto"}, {player.HlsJS, "sample"}} {
		t.Run(fmt.Sprintf("%s %s", c.player, c.site), func(t *testing.T) {
			parallel(t)
			s := mustPlay(t, player.Options{Player: c.player, URL: address + "/" + c.site + "/tsfile/m.m3u8"})
			checkFrames(t, s, 5.6, 1.96)
		})
	}
}

// ffmpeg gets the packets of the clear playlist. Of SAMPLE-AES it hands out the last packets of a stream as they are.
func TestFFmpegPlaysTransportStreams(t *testing.T) {
	address := mediaGateway(t, newRangeOrigin(t).URL)
	for _, c := range []struct {
		site, playlist string
		cut            int // packets at the end
	}{{"auto", "tsfile/m.m3u8", 0}, {"sample", "tsfile/m.m3u8", 8}, {"auto", "tsac3/m.m3u8", 0}, {"sample", "tsac3/m.m3u8", 4}} {
		t.Run(c.site+" "+c.playlist, func(t *testing.T) {
			want := framemd5(t, nil, "-v", "error", "-i", filepath.Join(clearMedia(t), c.playlist))
			got := framemd5(t, nil, "-v", "error", "-i", address+"/"+c.site+"/"+c.playlist)
			if len(want) < 100 || len(got) != len(want) {
				t.Fatalf("%d packets, the clear playlist has %d", len(got), len(want))
			}
			if end := len(want) - c.cut; !slices.Equal(got[:end], want[:end]) {
				t.Errorf("other packets: %s", compare(got[:end], want[:end]))
			}
			if c.site == "sample" {
				checkSampleAES(t, address+"/"+c.site+"/"+c.playlist, want)
			}
		})
	}
}

// checkSampleAES is the control: without the playlist, and so without its key, the packets of the first stream are there, and none
// is a clear one but tiny ones, of which SAMPLE-AES encrypts nothing.
func checkSampleAES(t *testing.T, playlist string, clear []packet) {
	t.Helper()
	var protected []byte
	for _, segment := range parsePlaylist(t, playlist, playlist, mustGet(t, playlist).body).segments {
		protected = append(protected, mustGet(t, segment).body...)
	}
	known := map[packet]bool{}
	for _, p := range clear {
		known[p] = p.size > 100
	}
	got := framemd5(t, protected, "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-map", "0:0")
	if len(got) < 100 {
		t.Errorf("%d packets without the key, want all of them", len(got))
	}
	for i, p := range got {
		if known[p] {
			t.Errorf("packet %d of %d bytes is clear", i, p.size)
		}
	}
}

var clearByteRange = regexp.MustCompile(`#EXT-X-BYTERANGE:(\d+)@(\d+)\n(.*)`)

// Each range of an I-frame playlist, encrypted whole with its number as the IV, is that range of the clear segment.
func TestIFramesOfTransportStreams(t *testing.T) {
	address := mediaGateway(t, newRangeOrigin(t).URL)
	playlist := address + "/auto/tsiframes/i.m3u8"
	tr := parsePlaylist(t, playlist, playlist, mustGet(t, playlist).body)
	ranges := clearByteRange.FindAllStringSubmatch(string(readMedia(t, "tsiframes", "i.m3u8")), -1)
	if len(ranges) != 6 || len(tr.segments) != 6 {
		t.Fatalf("%d I-frames are listed, %d in clear", len(tr.segments), len(ranges))
	}
	key := mustGet(t, tr.rawKey).body
	for i, r := range ranges {
		length, start := number(t, r[1]), number(t, r[2])
		want := readMedia(t, "tsiframes", r[3])[start : start+length]
		if got := decryptWhole(t, mustGet(t, tr.segments[i]).body, key, uint64(i)); !bytes.Equal(got, want) {
			t.Errorf("I-frame %d is not its range of the clear segment", i)
		}
	}
	refused := get(t, address+"/sample/tsiframes/i.m3u8")
	checkRefusal(t, refused, 502, "media_unsupported")
}

// WebVTT is encrypted whole, too, where segments are.
func TestWholeSegmentsOfText(t *testing.T) {
	address := mediaGateway(t, newRangeOrigin(t).URL)
	playlist := address + "/whole/text/m.m3u8"
	tr := parsePlaylist(t, playlist, playlist, mustGet(t, playlist).body)
	if len(tr.segments) != 1 {
		t.Fatalf("%d segments are listed", len(tr.segments))
	}
	protected := mustGet(t, tr.segments[0]).body
	if bytes.Contains(protected, []byte("Frames")) {
		t.Error("the text is clear")
	}
	if got := decryptWhole(t, protected, mustGet(t, tr.rawKey).body, 0); !bytes.Equal(got, readMedia(t, "text", "en.vtt")) {
		t.Error("the text does not decrypt to what it was")
	}
}

// decryptWhole undoes AES-128 of HLS (RFC 8216, section 4.3.2.4): CBC with the media sequence number as the IV, and the padding
// of PKCS #7.
func decryptWhole(t *testing.T, protected, key []byte, sequence uint64) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil || len(protected) == 0 || len(protected)%aes.BlockSize != 0 {
		t.Fatalf("a key of %d bytes, a segment of %d: %v", len(key), len(protected), err)
	}
	iv := make([]byte, aes.BlockSize)
	binary.BigEndian.PutUint64(iv[8:], sequence)
	clear := make([]byte, len(protected))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(clear, protected)
	padding := int(clear[len(clear)-1])
	if padding == 0 || padding > aes.BlockSize || !strings.HasSuffix(string(clear), strings.Repeat(string(rune(padding)), padding)) {
		t.Fatal("no padding: the key or the IV is another")
	}
	return clear[:len(clear)-padding]
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
