package keysource

import "testing"

// TestByteOrderMark: editors on Windows write one, and readers of JSON may pass it over (RFC 8259, 8.1).
func TestByteOrderMark(t *testing.T) {
	const list = "\ufeff" + `{"keys":[{"kid":"00112233445566778899aabbccddeeff","key":"0123456789abcdef0123456789abcdef","scheme":"cenc"}]}`
	if _, err := readStrictJSON([]byte(list)); err != nil {
		t.Error(err)
	}
	if _, err := readStrictJSON([]byte("\ufeff" + list)); err == nil {
		t.Error("two marks were passed over")
	}
}
