package speke

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// TestClientFailsClosed: what a key server can do wrong ends in an error without a key in it (hostile rows 21 and 36).
func TestClientFailsClosed(t *testing.T) {
	secretOf := func(b []byte) string {
		_, rest, _ := strings.Cut(string(b), "PlainValue>")
		value, _, _ := strings.Cut(rest, "<")
		return value
	}
	replace := func(old, with string) func(keysource.HTTPResponse) (keysource.HTTPResponse, error) {
		return func(r keysource.HTTPResponse) (keysource.HTTPResponse, error) {
			changed := strings.Replace(string(r.Body), old, with, 1)
			if changed == string(r.Body) {
				return r, fmt.Errorf("test: nothing to replace in %s", r.Body)
			}
			r.Body = []byte(changed)
			return r, nil
		}
	}
	status := func(status int) func(keysource.HTTPResponse) (keysource.HTTPResponse, error) {
		return func(r keysource.HTTPResponse) (keysource.HTTPResponse, error) {
			r.Status = status
			return r, nil
		}
	}
	body := func(text func(string) string) func(keysource.HTTPResponse) (keysource.HTTPResponse, error) {
		return func(r keysource.HTTPResponse) (keysource.HTTPResponse, error) {
			r.Body = []byte(text(string(r.Body)))
			return r, nil
		}
	}
	kid := func() string {
		d, _ := keysource.NewDerived(testSecret(t, testSecretText), false)
		k, _ := d.KID(keysource.Request{Title: testTitle, Class: drm.ClassShared})
		return k.String()
	}()
	for name, change := range map[string]func(keysource.HTTPResponse) (keysource.HTTPResponse, error){
		"timeout": func(keysource.HTTPResponse) (keysource.HTTPResponse, error) {
			return keysource.HTTPResponse{}, errors.New("timeout")
		},
		"500": status(500), "302": status(302), "401": status(401), "404": status(404), "422": status(422), "204": status(204),
		"empty":           body(func(string) string { return "" }),
		"entity bomb":     body(func(s string) string { return `<!DOCTYPE x [<!ENTITY a "aa">]>` + s[strings.Index(s, "<cpix:CPIX"):] }),
		"10 MB":           body(func(s string) string { return s + strings.Repeat(" ", 10<<20) }),
		"cut":             body(func(s string) string { return s[:len(s)/2] }),
		"no keys":         body(func(s string) string { return s[:strings.Index(s, "<cpix:ContentKeyList")] + "</cpix:CPIX>" }),
		"another KID":     body(func(s string) string { return strings.ReplaceAll(s, kid, "98ee5596-cd3e-a20d-163a-e382420c6eff") }),
		"another content": replace(`contentId="/vod/demo/"`, `contentId="/vod/other/"`),
		"another scheme":  replace(`commonEncryptionScheme="cbcs"`, `commonEncryptionScheme="cenc"`),
		"15 bytes":        body(func(s string) string { return strings.Replace(s, secretOf([]byte(s)), "AAECAwQFBgcICQoLDA0O", 1) }),
		"zero key":        body(func(s string) string { return strings.Replace(s, secretOf([]byte(s)), "AAAAAAAAAAAAAAAAAAAAAA==", 1) }),
		"no value":        body(func(s string) string { return strings.Replace(s, secretOf([]byte(s)), "", 1) }),
		"8-byte IV":       replace(`explicitIV="`, `explicitIV="AAAAAAAAAAE=" x="`),
		"another version": func(r keysource.HTTPResponse) (keysource.HTTPResponse, error) {
			r.Header[headerVersion] = "2.1"
			return r, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{server: testServer(t, testSecretText, true), tenant: "one.example", change: change}
			bundle, err := testClient(t, w, V20, testContract(t, Shared, Shared), false).Fetch(context.Background(), testTitle)
			if err == nil || bundle.Keys != nil || strings.Contains(err.Error(), "test:") {
				t.Fatalf("keys %v, error %v", bundle.Keys, err)
			}
			if secret := secretOf(w.answered.Body); len(secret) != 24 || strings.Contains(err.Error(), secret[:8]) {
				t.Errorf("a key in %q", err)
			}
		})
	}
	t.Run("clear where encrypted was asked for", func(t *testing.T) {
		w := &wire{server: testServer(t, testSecretText, true), tenant: "one.example"}
		c := testClient(t, w, V20, testContract(t, Shared, Shared), true)
		w.change = func(r keysource.HTTPResponse) (keysource.HTTPResponse, error) {
			return w.server.Answer(Question{Tenant: "one.example", Version: "2.0", Body: withoutRecipients(w.sent.Body)}), nil
		}
		if bundle, err := c.Fetch(context.Background(), testTitle); err == nil {
			t.Errorf("keys %v", bundle.Keys)
		}
	})
}

func withoutRecipients(b []byte) []byte {
	s := string(b)
	end := "</cpix:DeliveryDataList>"
	return []byte(s[:strings.Index(s, "<cpix:DeliveryDataList>")] + s[strings.Index(s, end)+len(end):])
}
