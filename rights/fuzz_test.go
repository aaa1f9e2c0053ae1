package rights

import (
	"testing"
	"time"
)

// Whatever is read is either refused without a catalog, or can be asked, looked through and written, and reads as the same again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(testCatalog))
	f.Add([]byte(`{"titles": [{"path": ["/a/", "/b/*/"], "territories": "world", "model": "free", "windows": [{"end": "2026-11-27T00:00:00.5Z"}]}]}`))
	f.Add([]byte("titles: []\nblackouts: [{path: /, territories: [eu], excluded: [FR]}]"))
	f.Add([]byte("titles: [{path: /x, territories: world, model: free, license: {attribution: \"\\u2029\"}}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			if c != nil {
				t.Fatal("an error with a catalog")
			}
			return
		}
		exercise(t, c)
	})
}

func FuzzImportODRL(f *testing.F) {
	f.Add([]byte(odrlOffer))
	f.Add([]byte(odrlAgreement))
	f.Add([]byte(`[{"@context": ["http://www.w3.org/ns/odrl.jsonld"], "@type": "Set", "target": "/a", "action": "use", "permission": [{}]}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ImportODRL(b)
		if err != nil {
			if c != nil {
				t.Fatal("an error with a catalog")
			}
			return
		}
		exercise(t, c)
	})
}

func exercise(t *testing.T, c *Catalog) {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	c.Lint(now)
	for _, title := range c.Titles() {
		for _, path := range title.Paths {
			if c.Lookup(path) == nil {
				t.Fatalf("%q has no title", path)
			}
			c.Decide(Query{Now: now, Path: path})
		}
	}
	written := c.AppendYAML(nil)
	again, err := Parse(written)
	if err != nil {
		t.Fatalf("what was written is refused: %v\n%s", err, written)
	}
	if string(again.AppendYAML(nil)) != string(written) {
		t.Fatalf("what was written reads as something else:\n%s", written)
	}
}
