package token

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"
)

func TestMemoryReplay(t *testing.T) {
	now := time.Unix(1800000000, 0)
	r := NewMemoryReplay(2, func() time.Time { return now })
	use := func(id byte, until time.Duration) (bool, error) {
		return r.Seen(t.Context(), [16]byte{id}, now.Add(until))
	}
	for _, step := range []struct {
		after  time.Duration
		id     byte
		until  time.Duration
		seen   bool
		failed bool
	}{
		{0, 1, 10 * time.Second, false, false},
		{0, 1, 10 * time.Second, true, false},
		{0, 2, 20 * time.Second, false, false},
		{0, 3, 20 * time.Second, false, true}, // full: nobody is forgotten for it
		{0, 1, 10 * time.Second, true, false},
		{10 * time.Second, 1, time.Second, true, false}, // the second in which it expires is its own
		{2 * time.Second, 3, 20 * time.Second, false, false},
		{0, 2, 20 * time.Second, true, false},
		{0, 4, 20 * time.Second, false, true},
	} {
		now = now.Add(step.after)
		seen, err := use(step.id, step.until)
		if seen != step.seen || (err != nil) != step.failed {
			t.Errorf("%d at %s: seen %t, %v", step.id, now.UTC().Format(time.TimeOnly), seen, err)
		}
	}
}

// TestCATForm: the form of a Common Access Token is certain, and so is that of the others.
func TestCATForm(t *testing.T) {
	named := func(name string) Verifier { return namedVerifier(name) }
	forms := ByForm{JWT: named("jwt"), Prefix: named("signed"), CAT: named("cat")}
	encode := func(b ...byte) string { return base64.RawURLEncoding.EncodeToString(append(b, 1, 2, 3, 4)) }
	for raw, want := range map[string]string{
		encode(0xd8, 0x3d, 0xd1, 0x84): "cat", encode(0xd1, 0x84): "cat", encode(0xd2, 0x84): "cat", encode(0x84, 0x43): "cat", encode(0x84, 0x51): "cat",
		"eyJhbGciOiJub25lIn0.e30.": "jwt", "v1.a.b": "signed", "2D3R.a.b": "jwt", encode(0x85, 0x43): "jwt", encode(0xd0, 0x83): "jwt", "h": "jwt",
	} {
		if _, err := forms.Verify(t.Context(), raw, Request{}); err == nil || err.Error() != want {
			t.Errorf("%s went to %v, want %s", raw, err, want)
		}
	}
	if _, err := (ByForm{JWT: named("jwt")}).Verify(t.Context(), encode(0xd1, 0x84), Request{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("without a verifier for its form: %v", err)
	}
	if (ByForm{JWT: named("jwt"), CAT: anonymousVerifier{}}).Identity() != "" {
		t.Error("cached without an identity")
	}
}

// namedVerifier answers with its name.
type namedVerifier string

func (n namedVerifier) Verify(context.Context, string, Request) (Claims, error) {
	return Claims{}, errors.New(string(n))
}
func (n namedVerifier) Identity() string { return string(n) }

type anonymousVerifier struct{}

func (anonymousVerifier) Verify(context.Context, string, Request) (Claims, error) {
	return Claims{}, ErrMalformed
}
