package inspect

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/caddy-drm/caddy-drm/drm"
)

// errBoxes is what is left to say of boxes on which the parser gave up without an error of its own.
var errBoxes = errors.New("reading boxes: lengths or counts in them contradict each other")

// explainMedia explains an init segment, media segments, or one behind the other.
func explainMedia(w *writer, b []byte, o Options) (err error) {
	// The parser is one for honest input, and this is a tool for looking at other input as well.
	defer func() {
		if recover() != nil {
			err = errBoxes
		}
	}()
	for _, part := range [...][]byte{o.Init, b} {
		if err := checkBoxes(part, 0); err != nil {
			return err
		}
	}
	all := append(bytes.Clone(o.Init), b...) // what is decrypted is decrypted in place
	file, err := mp4.DecodeFileSR(bits.NewFixedSliceReader(all))
	if err != nil {
		return errors.New("reading boxes: " + visible(err.Error()))
	}
	m := media{keys: o.Keys, tracks: make(map[uint32]track)}
	if file.Init != nil && file.Init.Moov != nil {
		m.init = file.Init
		m.readTracks()
		if len(o.Init) == 0 {
			m.explainInit(w)
		}
	} else if file.Moov != nil {
		w.line("an MP4 file that is not fragmented: no scheme of Common Encryption on the fly works on it")
	}
	for i, segment := range file.Segments {
		m.explainSegment(w, i, segment)
	}
	if len(file.Segments) == 0 && m.init == nil && file.Moov == nil {
		w.line("neither moov nor moof: there is nothing to play in it")
	}
	return nil
}

// media is what is known of the file.
type media struct {
	init   *mp4.InitSegment
	tracks map[uint32]track
	order  []uint32
	pssh   []drm.Pssh
	keys   []drm.ContentKey
	iframe bool // only the first sample of each fragment is there
}

// track is what samples of a track need to be understood.
type track struct {
	id                uint32
	handler, format   string // hdlr, and the sample entry without encryption
	looks             string // what evidence takes samples for: the format, or what is in an mp4a
	protected         bool
	scheme            string
	tenc              *mp4.TencBox
	width, height     uint16
	timescale         uint32
	trex              *mp4.TrexBox
	descriptionsCount int
}

func (m *media) readTracks() {
	moov := m.init.Moov
	for _, trak := range moov.Traks {
		t := track{id: trak.Tkhd.TrackID, handler: trak.Mdia.Hdlr.HandlerType, timescale: trak.Mdia.Mdhd.Timescale}
		stsd := trak.Mdia.Minf.Stbl.Stsd
		t.descriptionsCount = len(stsd.Children)
		if len(stsd.Children) > 0 {
			t.format = stsd.Children[0].Type()
			if entry, ok := stsd.Children[0].(*mp4.VisualSampleEntryBox); ok {
				t.width, t.height = entry.Width, entry.Height
			}
		}
		if sinf := moov.GetSinf(t.id); sinf != nil {
			t.protected = true
			if sinf.Frma != nil {
				t.format = sinf.Frma.DataFormat
			}
			if sinf.Schm != nil {
				t.scheme = sinf.Schm.SchemeType
			}
			if sinf.Schi != nil {
				t.tenc = sinf.Schi.Tenc
			}
		}
		if t.looks = t.format; len(stsd.Children) > 0 {
			t.looks = looksOf(t.format, stsd.Children[0])
		}
		if moov.Mvex != nil {
			t.trex, _ = moov.Mvex.GetTrex(t.id)
		}
		m.tracks[t.id] = t
		m.order = append(m.order, t.id)
	}
	for _, box := range moov.Psshs {
		m.pssh = append(m.pssh, vocabulary(box))
	}
}

// vocabulary turns a box of the parser into one of ours.
func vocabulary(box *mp4.PsshBox) drm.Pssh {
	p := drm.Pssh{Version: box.Version, Data: box.Data}
	copy(p.System[:], box.SystemID)
	for _, kid := range box.KIDs {
		var k drm.KID
		copy(k[:], kid)
		p.KIDs = append(p.KIDs, k)
	}
	return p
}

// kid is the default_KID of the track, zero if it has none.
func (t track) kid() (kid drm.KID) {
	if t.tenc != nil {
		copy(kid[:], t.tenc.DefaultKID)
	}
	return kid
}

func (m *media) explainInit(w *writer) {
	w.line("init segment, %s", plural(len(m.order), "track"))
	w.below(func() {
		for _, id := range m.order {
			m.tracks[id].explain(w)
		}
		for _, box := range m.pssh {
			explainPssh(w, box)
		}
		if m.isProtected() && len(m.pssh) == 0 {
			w.line("no pssh box: players take what the manifest says")
		}
	})
}

func (m *media) isProtected() bool {
	for _, t := range m.tracks {
		if t.protected {
			return true
		}
	}
	return false
}

func (t track) explain(w *writer) {
	picture := ""
	if t.width > 0 {
		picture = fmt.Sprintf(", %d×%d", t.width, t.height)
	}
	w.line("track %d, %s, %s%s, %d ticks a second", t.id, printable(t.handler), printable(t.format), picture, t.timescale)
	w.below(func() {
		switch {
		case !t.protected:
			w.line("clear")
			return
		case t.tenc == nil:
			w.fault("scheme %s, and no tenc says which key", printable(t.scheme))
			return
		}
		w.line("scheme %s, KID %s", printable(t.scheme), t.kid())
		switch ivs := "IVs of " + plural(int(t.tenc.DefaultPerSampleIVSize), "byte") + " with each sample"; {
		case t.tenc.DefaultIsProtected == 0:
			w.line("tenc says that samples are clear unless a group says otherwise")
		case t.tenc.DefaultPerSampleIVSize == 0 && len(t.tenc.DefaultConstantIV) == 0:
			w.fault("neither IVs with the samples nor a constant one")
		case t.tenc.DefaultPerSampleIVSize == 0:
			w.line("constant IV %x", t.tenc.DefaultConstantIV)
		default:
			w.line("%s", ivs)
		}
		if crypt, skip := t.tenc.DefaultCryptByteBlock, t.tenc.DefaultSkipByteBlock; crypt+skip > 0 {
			w.line("pattern %d:%d", crypt, skip)
		}
		if t.descriptionsCount > 1 {
			w.line("%s; this is of the first", plural(t.descriptionsCount, "sample description"))
		}
	})
}
