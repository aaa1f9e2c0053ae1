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
	for text, began := range map[string]int64{"2026-08-06T00:00:00Z": 1785974400, "soon": 0, "": 0} {
		info, err := Inspect([]byte(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="` + text + `"/>`))
		if err != nil || info.Began.IsZero() != (began == 0) || began != 0 && info.Began.Unix() != began {
			t.Errorf("%q: began %s, %v", text, info.Began, err)
		}
	}
	if _, err := Inspect([]byte("<html/>")); err == nil {
		t.Error("a page was taken for an MPD")
	}
}
