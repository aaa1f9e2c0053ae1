package segcrypt

import "testing"

func TestMissingBytes(t *testing.T) {
	seg := readTestdata(t, "avc-1.m4s")
	if n, err := MissingBytes(seg); n != 0 || err != nil {
		t.Errorf("a whole segment: %d, %v", n, err)
	}
	for _, cut := range []int{1, 100, 1000} {
		if n, err := MissingBytes(seg[:len(seg)-cut]); n != uint64(cut) || err != nil {
			t.Errorf("cut by %d: %d, %v", cut, n, err)
		}
	}
	large := append([]byte{0, 0, 0, 1, 'm', 'd', 'a', 't', 0, 0, 0, 1, 0, 0, 0, 0}, 1, 2, 3)
	if n, err := MissingBytes(large); n != 1<<32-19 || err != nil {
		t.Errorf("an mdat of 4 GiB: %d, %v", n, err)
	}
	for name, bad := range map[string]Clear{
		"half a header": seg[:4], "half a moof": seg[:60], "an open end": {0, 0, 0, 0, 'm', 'd', 'a', 't', 1},
		"a size that cannot be": {0, 0, 0, 7, 'm', 'd', 'a', 't', 1},
	} {
		if n, err := MissingBytes(bad); err == nil {
			t.Errorf("%s: %d and no error", name, n)
		}
	}
}
