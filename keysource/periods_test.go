package keysource

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// manyNames is a Namer whose keys are called by the crypto period and a number.
type manyNames struct {
	each  int
	asked atomic.Int64
}

func (*manyNames) Split() bool { return false }

func (*manyNames) ContentKey(context.Context, Request) (drm.ContentKey, error) {
	return drm.ContentKey{}, ErrUnknownKey
}

func (*manyNames) ContentKeys(context.Context, Title) ([]drm.ContentKey, error) {
	return nil, ErrUnknownKey
}

func (m *manyNames) KIDs(t Title) (kids []drm.KID, err error) {
	m.asked.Add(1)
	if t.Period%2 == 1 {
		return nil, errors.New("odd periods have none")
	}
	for n := range m.each {
		kids = append(kids, nameAt(t.Period, n))
	}
	return kids, nil
}

func nameAt(period uint32, n int) (kid drm.KID) {
	binary.BigEndian.PutUint32(kid[:], period<<12|uint32(n))
	return kid
}

func namedSource(t *testing.T, source Source) *Cached {
	t.Helper()
	c, err := NewCached(source, time.Now, CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestPeriodsOf: each name leads to its crypto periods within the span, in order, and the names of a title are asked for once.
func TestPeriodsOf(t *testing.T) {
	source := &manyNames{each: 3}
	c, title := namedSource(t, source), testTitle()
	for _, test := range []struct {
		first, last uint32
		kids        []drm.KID
		want        []uint32
	}{
		{0, 4096, []drm.KID{nameAt(4096, 2)}, []uint32{4096}}, {0, 4095, []drm.KID{nameAt(4096, 2)}, nil}, {17, 600, []drm.KID{nameAt(16, 0)}, nil},
		{17, 600, []drm.KID{nameAt(512, 1), nameAt(18, 0), nameAt(512, 2)}, []uint32{18, 512}}, {0, 0, []drm.KID{nameAt(0, 0)}, []uint32{0}},
		{0, 4096, []drm.KID{nameAt(7, 0), nameAt(8, 3)}, nil}, {0, 4096, nil, nil},
	} {
		if got := c.PeriodsOf(title, test.first, test.last, test.kids); !slices.Equal(got, test.want) {
			t.Errorf("%d to %d: %v, want %v", test.first, test.last, got, test.want)
		}
	}
	if asked := source.asked.Load(); asked != 17*blockPeriods {
		t.Errorf("asked for names %d times", asked)
	}
	title.Generation = 1
	if c.PeriodsOf(title, 0, 10, []drm.KID{nameAt(2, 0)}); source.asked.Load() != 18*blockPeriods {
		t.Error("another generation has the names of the first")
	}
	other := namedSource(t, lonely{})
	if got := other.PeriodsOf(title, 3, 6, []drm.KID{{1}}); !slices.Equal(got, []uint32{3, 4, 5, 6}) {
		t.Errorf("a source that tells no names: %v", got)
	}
}

// lonely is a source that is no Namer.
type lonely struct{}

func (lonely) Split() bool { return false }

func (lonely) ContentKey(context.Context, Request) (drm.ContentKey, error) {
	return drm.ContentKey{}, ErrUnknownKey
}

func (lonely) ContentKeys(context.Context, Title) ([]drm.ContentKey, error) {
	return nil, ErrUnknownKey
}

// TestIndexedNamesAreBounded: further titles take the room of others.
func TestIndexedNamesAreBounded(t *testing.T) {
	c := namedSource(t, &manyNames{each: 4096})
	title := testTitle()
	for n := range uint32(6) {
		title.Generation = n
		if got := c.PeriodsOf(title, 0, 255, []drm.KID{nameAt(254, 7)}); !slices.Equal(got, []uint32{254}) {
			t.Fatalf("title %d: %v", n, got)
		}
	}
	names := 0
	for _, block := range c.periods.blocks {
		names += len(block)
	}
	if names != c.periods.names || names > maxIndexed || names < maxIndexed/2 {
		t.Errorf("%d names, counted %d", names, c.periods.names)
	}
}
