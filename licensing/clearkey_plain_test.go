package licensing

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// otherwise is the same request with a space in front of it, which is not the plain form.
func otherwise(body string) []byte { return []byte(" " + body) }

// TestPlainRequests: the quick reader reads what browsers write, and leaves everything else to the careful one.
func TestPlainRequests(t *testing.T) {
	temporary := func(kids string) string { return strings.TrimSuffix(kids, "}") + `,"type":"temporary"}` }
	plain := map[string]bool{
		`{"kids":["` + kidText(1) + `"],"type":"temporary"}`:                               true,
		`{"kids":["` + kidText(3) + `","` + kidText(1) + `"],"type":"temporary"}`:          true,
		temporary(manyKIDs(MaxClearKeyKIDs)):                                               true,
		temporary(manyKIDs(MaxClearKeyKIDs + 1)):                                           false,
		`{"kids":["` + kidText(3) + `","` + kidText(3) + `"],"type":"temporary"}`:          true,
		`{"kids":["` + kidText(3) + `" ,` + kidText(1) + `"],"type":"temporary"}`:          false,
		`{"kids":["` + kidText(1)[:20] + "\r\n" + `"],"type":"temporary"}`:                 false,
		`{"kids":["ASNFZ4mrze8BI0VniavN7x"],"type":"temporary"}`:                           false,
		`{"kids":[""],"type":"temporary"}`:                                                 false,
		`{"kids":["` + kidText(1) + `"],"type":"temporary"} `:                              false,
		`{"kids":["` + kidText(1) + `"],"type":"persistent-license"}`:                      false,
		`{"kids":["` + kidText(1) + `"],"type":"temporary","type":"temporary"}`:            false,
		`{"kids":["` + kidText(1) + `"],"kids":["` + kidText(2) + `"],"type":"temporary"}`: false,
	}
	for _, tt := range refusedRequests {
		plain[tt.body] = false
	}
	for body, want := range plain {
		req, found := readPlainRequest([]byte(body))
		if found != want {
			t.Errorf("%.80s: found %t", body, found)
		}
		if careful, err := ParseClearKeyRequest(otherwise(body)); found && (err != nil || cmp.Diff(careful, req) != "") {
			t.Errorf("%.80s: %v, and with care %v %v", body, req, careful, err)
		}
	}
}

// FuzzPlainRequest: the two readers agree on everything that both read.
func FuzzPlainRequest(f *testing.F) {
	for _, tt := range soundRequests {
		f.Add(tt.body)
	}
	for _, tt := range refusedRequests {
		f.Add(tt.body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		req, found := readPlainRequest([]byte(body))
		if !found {
			return
		}
		if careful, err := ParseClearKeyRequest(otherwise(body)); !json.Valid([]byte(body)) || err != nil || cmp.Diff(careful, req) != "" {
			t.Errorf("%v, and with care %v %v", req, careful, err)
		}
	})
}

func BenchmarkParseClearKeyRequest(b *testing.B) {
	body := `{"kids":["` + kidText(3) + `","` + kidText(1) + `"],"type":"temporary"}`
	for name, body := range map[string][]byte{"plain": []byte(body), "otherwise": otherwise(body)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseClearKeyRequest(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
