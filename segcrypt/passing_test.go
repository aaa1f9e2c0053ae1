package segcrypt

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// passingSamples are, by sample entry, a handler, samples that pass, and samples that are something else.
func passingSamples(t testing.TB) map[string]struct {
	handler string
	ok, not [][]byte
} {
	pictures := readTestdata(t, "avc-1.m4s")[300:]
	first := splitNALs(mdatPayload(readTestdata(t, "avc-1.m4s")))
	video := nal(first[len(first)-1]...)
	cdp := []byte{0x96, 0x69, 11, 0x1f, 0x41, 0, 1, 0x74, 0, 1, 0x8b}
	type row = struct {
		handler string
		ok, not [][]byte
	}
	return map[string]row{
		"wvtt": {"text", [][]byte{nil, slices.Concat(mk("vttc", mk("payl", []byte("x"))), mk("vtte"))}, [][]byte{video, pictures, mk("mdat")}},
		"stpp": {"subt", [][]byte{nil, []byte("\xef\xbb\xbf <tt/>")}, [][]byte{video, pictures, []byte("tt")}},
		"sbtt": {"subt", [][]byte{nil, []byte("Grüße\r\n\tan alle")}, [][]byte{video, pictures, {0}, []byte("\xff\xfe"), []byte("a\x1bb")}},
		"stxt": {"text", [][]byte{[]byte("text")}, [][]byte{video, pictures}},
		"tx3g": {
			"sbtl",
			[][]byte{nil, {0, 0}, slices.Concat([]byte{0, 2, 'h', 'i'}, mk("styl", n32(0)))},
			[][]byte{video, pictures, {0}, {0, 3, 'h', 'i'}, slices.Concat([]byte{0, 2, 'h', 'i'}, mk("mdat"))},
		},
		"c608": {
			"clcp",
			[][]byte{nil, slices.Concat(mk("cdat", []byte{0x94, 0x20, 0x80, 0x80}), mk("cdt2", []byte{0x80, 0x80}))},
			[][]byte{video, pictures, mk("cdat", []byte{1}), mk("cdat", make([]byte, maxCaptionSample))},
		},
		"c708": {
			"clcp",
			[][]byte{nil, mk("ccdp", cdp, cdp)},
			[][]byte{video, pictures, mk("ccdp", []byte{0x96, 0x69, 200, 0}), mk("ccdp", []byte{1, 2, 3}), mk("ccdp", []byte{0x96, 0x69, 0})},
		},
		"evte": {
			"meta",
			[][]byte{nil, mk("emeb"), slices.Concat(mk("emib", make([]byte, 40)), mk("emib", make([]byte, 30)))},
			[][]byte{video, pictures, mk("moof")},
		},
		"metx": {"meta", [][]byte{[]byte("<metadata/>")}, [][]byte{video, pictures, []byte("{}")}},
		"mett": {"meta", [][]byte{[]byte(`{"speed": 12}`)}, [][]byte{video, pictures}},
		"urim": {
			"meta",
			[][]byte{nil, {1, 2, 3, 0xff}, bytes.Repeat([]byte{0, 0, 0, 9}, 7), {0, 0, 0, 2, 1}},
			[][]byte{video, slices.Concat(video, video), {0x12, 0, 0x32, 1}, make([]byte, maxOpaqueSample+1)},
		},
	}
}

// TestPassing: tracks of text, captions and metadata pass byte for byte; samples of another kind do not pass with them.
func TestPassing(t *testing.T) {
	rows := passingSamples(t)
	for entry := range passingChecks {
		row, ok := rows[entry.String()]
		if !ok {
			t.Errorf("%s has no samples here", entry)
			continue
		}
		t.Run(entry.String(), func(t *testing.T) {
			init := initParts{handler: row.handler, entries: [][]byte{mk(entry.String(), make([]byte, 8), []byte("x\x00\x00\x00"))}}.build()
			pr := newTestProtector(t, init, Protection{})
			if !bytes.Equal(pr.Init(), init) || pr.init.Tracks()[0].Kind != KindText {
				t.Error("the init segment changed, or is not one of text")
			}
			for i, sample := range row.ok {
				seg := videoChunk(sample)
				if out, err := pr.ProtectSegment(nil, seg); err != nil || !bytes.Equal(out, seg) {
					t.Errorf("sample %d: %v, unchanged: %v", i, err, bytes.Equal(out, seg))
				}
			}
			for i, sample := range row.not {
				if out, err := pr.ProtectSegment(nil, videoChunk(sample)); out != nil || !errors.Is(err, errText) {
					t.Errorf("sample %d of another kind: %v", i, err)
				}
			}
		})
	}
}
