package dash

import "testing"

func TestInspectTellsALiveMPD(t *testing.T) {
	for text, live := range map[string]bool{
		`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic"/>`: true,
		`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"/>`:  false,
		`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>`:                false,
	} {
		info, err := Inspect([]byte(text))
		if err != nil || info.Live != live {
			t.Errorf("%s: live %v, error %v; want live %v", text, info.Live, err, live)
		}
	}
	if _, err := Inspect([]byte("<html/>")); err == nil {
		t.Error("a page was taken for an MPD")
	}
}
