package keysource

import (
	"context"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestDerivedDiffersInEachField is the rule that nothing made for one tenant, scheme or period works on another.
func TestDerivedDiffersInEachField(t *testing.T) {
	base := Request{testTitle(), drm.ClassHD}
	change := map[string]func(*Request){
		"nothing":    func(*Request) {},
		"tenant":     func(r *Request) { r.Tenant = "other.example" },
		"group":      func(r *Request) { r.Group = "" },
		"asset":      func(r *Request) { r.Asset = "/vod/demo" },
		"scheme":     func(r *Request) { r.Scheme = drm.SchemeCbcs },
		"period":     func(r *Request) { r.Period = 1 },
		"generation": func(r *Request) { r.Generation = 1 },
		"class":      func(r *Request) { r.Class = drm.ClassSD },
		// The same letters across another border.
		"border of tenant and group": func(r *Request) { r.Tenant, r.Group = "test.examplem", "ovies" },
		"border of group and asset":  func(r *Request) { r.Group, r.Asset = "movies/vod", "/demo/" },
	}
	d := testDerived(t, true)
	kids, secrets, ivs := map[drm.KID]string{}, map[[16]byte]string{}, map[[16]byte]string{}
	for name, f := range change {
		r := base
		f(&r)
		k, err := d.ContentKey(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := kids[k.KID()]; ok {
			t.Errorf("same KID with %s and %s changed", name, other)
		}
		if other, ok := secrets[k.Secret()]; ok {
			t.Errorf("same key with %s and %s changed", name, other)
		}
		if other, ok := ivs[k.ConstantIV()]; ok {
			t.Errorf("same IV with %s and %s changed", name, other)
		}
		kids[k.KID()], secrets[k.Secret()], ivs[k.ConstantIV()] = name, name, name
	}
}

func TestDerivedOtherSecretOtherKey(t *testing.T) {
	s, _ := NewSecret()
	d, err := NewDerived(s, false)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{testTitle(), drm.ClassShared}
	a, err := d.ContentKey(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := testDerived(t, false).ContentKey(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if a.KID() == b.KID() || a.Secret() == b.Secret() {
		t.Error("two secrets gave one key")
	}
}

func TestDerivedContentKeysAreThoseOfTheClasses(t *testing.T) {
	for _, split := range []bool{false, true} {
		d := testDerived(t, split)
		keys, err := d.ContentKeys(context.Background(), testTitle())
		if err != nil {
			t.Fatal(err)
		}
		classes := classesOf(split)
		if len(keys) != len(classes) {
			t.Fatalf("%d keys, want %d", len(keys), len(classes))
		}
		for i, c := range classes {
			k, err := d.ContentKey(context.Background(), Request{testTitle(), c})
			if err != nil {
				t.Fatal(err)
			}
			if keys[i] != k {
				t.Errorf("key %d is not that of class %s", i, c)
			}
		}
	}
}

func TestDerivedRefuses(t *testing.T) {
	valid := testTitle()
	for _, tt := range []struct {
		name  string
		split bool
		edit  func(*Request)
	}{
		{"no tenant", false, func(r *Request) { r.Tenant = "" }},
		{"no asset", false, func(r *Request) { r.Asset = "" }},
		{"no scheme", false, func(r *Request) { r.Scheme = 0 }},
		{"no class", false, func(r *Request) { r.Class = 0 }},
		{"a class of a title with one key", false, func(r *Request) { r.Class = drm.ClassHD }},
		{"the shared class of a split title", true, func(r *Request) { r.Class = drm.ClassShared }},
		{"a class beyond the last", true, func(r *Request) { r.Class = drm.ClassUHD2 + 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Request{valid, drm.ClassShared}
			tt.edit(&r)
			k, err := testDerived(t, tt.split).ContentKey(context.Background(), r)
			if err == nil || !k.IsZero() {
				t.Errorf("key %v, error %v; want an error alone", k, err)
			}
		})
	}
	if _, err := NewDerived(Secret{}, false); err == nil {
		t.Error("a source over no secret")
	}
}

func TestClassFor(t *testing.T) {
	if c := ClassFor(testDerived(t, false), drm.ClassHD); c != drm.ClassShared {
		t.Errorf("one key per title: class %s, want ALL", c)
	}
	if c := ClassFor(testDerived(t, true), drm.ClassHD); c != drm.ClassHD {
		t.Errorf("one key per class: class %s, want HD", c)
	}
}

func BenchmarkDerivedContentKey(b *testing.B) {
	d := testDerived(b, true)
	r := Request{testTitle(), drm.ClassHD}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.ContentKey(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}
