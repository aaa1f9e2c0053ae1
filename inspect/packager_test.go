package inspect

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// TestPackager: the boxes of a foreign packager are, byte for byte, the ones that we write for the same key, and its media is explained.
func TestPackager(t *testing.T) {
	packager, err := testtools.Packager()
	if err != nil {
		t.Fatal(err)
	}
	const secret = "00112233445566778899aabbccddeeff"
	raw, err := hex.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := drm.NewContentKey(testKID, raw, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	raw[0] ^= 1
	wrongKey, err := drm.NewContentKey(testKID, raw, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var clear []byte
	for _, name := range []string{"init.mp4", "seg_1.m4s", "seg_2.m4s"} {
		b, err := os.ReadFile(filepath.Join("..", "testdata", "demo", "audio", "en", name))
		if err != nil {
			t.Fatal(err)
		}
		clear = append(clear, b...)
	}
	if err := os.WriteFile(filepath.Join(dir, "clear.mp4"), clear, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range drm.Schemes {
		t.Run(scheme.String(), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), packager,
				"in=clear.mp4,stream=audio,init_segment=init.mp4,segment_template=$Number$.m4s", "--mpd_output", "a.mpd",
				"--enable_raw_key_encryption", "--keys", "label=:key_id="+testKID.Hex()+":key="+secret, "--protection_scheme", scheme.String(),
				"--protection_systems", "Widevine,PlayReady,CommonSystem", "--clear_lead", "0", "--generate_static_live_mpd")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			files := make(map[string][]byte)
			for _, name := range []string{"init.mp4", "1.m4s", "a.mpd"} {
				if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			playReady, err := drm.AppendPlayReadyPssh(nil, drm.PlayReadyHeader{Scheme: scheme, Keys: []drm.PlayReadyKey{drm.NewPlayReadyKey(key)}})
			if err != nil {
				t.Fatal(err)
			}
			for system, box := range map[string][]byte{
				"common": drm.AppendCommonPssh(nil, testKID), "PlayReady": playReady,
				"Widevine": drm.AppendWidevinePssh(nil, drm.WidevineInit{KIDs: []drm.KID{testKID}, Scheme: scheme}),
			} {
				if !bytes.Contains(files["init.mp4"], box) {
					t.Errorf("the packager writes another box of %s than\n%x", system, box)
				}
			}
			kid := "KID " + testKID.String()
			wants(t, explain(t, files["init.mp4"], Options{}), `scheme "`+scheme.String()+`", `+kid, "pssh of Widevine", "pssh of PlayReady")
			wants(t, explain(t, files["a.mpd"], Options{}), `scheme "`+scheme.String()+`"`, kid, "PlayReady Object of")
			good := explain(t, files["1.m4s"], Options{Init: files["init.mp4"], Keys: []drm.ContentKey{key}})
			wants(t, good, "begin with the same AAC element, as media does")
			bad := explain(t, files["1.m4s"], Options{Init: files["init.mp4"], Keys: []drm.ContentKey{wrongKey}})
			if good.Broken+good.WrongKey+bad.Broken > 0 || bad.WrongKey == 0 {
				t.Errorf("with the key:\n%s\nwith another:\n%s", good.Text, bad.Text)
			}
		})
	}
}
