package entitlement

import "testing"

// TestMembersThatCouldBeReadInTwoWays: encoding/json would take the last of two, and any case, where the backend may have meant the
// other one.
func TestMembersThatCouldBeReadInTwoWays(t *testing.T) {
	for body, understood := range map[string]bool{
		`{"allow": true, "plans": ["gold"]}`:                true,
		` {"allow": true} `:                                 true,
		`{"allow": false, "allow": true}`:                   false,
		`{"allow": false, "Allow": true}`:                   false,
		`{"ALLOW": true}`:                                   false,
		`{"allow": true, "paths": ["/a"], "paths": ["/b"]}`: false,
		`{"allow": true, "paths": ["/a"], "Paths": ["/"]}`:  false,
		`{"allow": true, "ſubject": "x"}`:                   false,
		`{"allow": true, "max_ſtreams": 9}`:                 false,
		`{"allow": true, "subject": "x", "ſubject": "y"}`:   false,
		`{"allow": true} {"allow": false}`:                  false,
		`{"allow": true, "foo": 1}`:                         false,
		"{\"allow\": true, \"subject\": \"\xff\"}":          false,
	} {
		answer, err := readJSON(nil, []byte(body))
		if (err == nil) != understood || answer.Allowed != understood {
			t.Errorf("%s: %+v, %v", body, answer, err)
		}
	}
}
