package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"time"
)

// Storage keeps one text across restarts. Load returns fs.ErrNotExist where there is none yet.
type Storage interface {
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, text []byte) error
}

// MemoryRevocations is the RevocationStore of one node.
type MemoryRevocations struct {
	now     func() time.Time
	storage Storage // nil: they end with the process

	mu      sync.Mutex
	entries map[string]Revocation
	version uint64
}

// OpenMemoryRevocations reads what storage holds. What it cannot read is an error: it may say who is shut out.
func OpenMemoryRevocations(ctx context.Context, storage Storage, now func() time.Time) (*MemoryRevocations, error) {
	m := &MemoryRevocations{now: now, storage: storage, entries: make(map[string]Revocation), version: 1}
	if storage == nil {
		return m, nil
	}
	text, err := storage.Load(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	var entries []Revocation
	if err == nil {
		err = json.Unmarshal(text, &entries)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the revocations: %w", err)
	}
	for _, entry := range entries {
		m.entries[entry.ID] = entry
	}
	return m, nil
}

// Add implements RevocationStore.
func (m *MemoryRevocations) Add(ctx context.Context, entries []Revocation) error {
	return m.change(ctx, func(kept map[string]Revocation) error {
		for _, entry := range entries {
			kept[entry.ID] = entry
		}
		if len(kept) > MaxRevocations {
			return ErrFull
		}
		return nil
	})
}

// Remove implements RevocationStore.
func (m *MemoryRevocations) Remove(ctx context.Context, id string) (found bool, err error) {
	err = m.change(ctx, func(kept map[string]Revocation) error {
		_, found = kept[id]
		delete(kept, id)
		return nil
	})
	return found && err == nil, err
}

// change applies f to a copy, which counts only once it is stored.
func (m *MemoryRevocations) change(ctx context.Context, f func(kept map[string]Revocation) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := make(map[string]Revocation, len(m.entries)+1)
	for _, entry := range m.notOver() {
		kept[entry.ID] = entry
	}
	if err := f(kept); err != nil {
		return err
	}
	if m.storage != nil {
		list := make([]Revocation, 0, len(kept))
		for _, entry := range kept {
			list = append(list, entry)
		}
		text, err := json.Marshal(list)
		if err == nil {
			err = m.storage.Save(ctx, text)
		}
		if err != nil {
			return fmt.Errorf("storing the revocations: %w", err)
		}
	}
	m.entries = kept
	m.version++
	return nil
}

func (m *MemoryRevocations) notOver() (entries []Revocation) {
	now := m.now()
	for _, entry := range m.entries {
		if now.Before(entry.Expires) {
			entries = append(entries, entry)
		}
	}
	return entries
}

// Version implements RevocationStore.
func (m *MemoryRevocations) Version(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return "memory:" + strconv.FormatUint(m.version, 10), nil
}

// Load implements RevocationStore.
func (m *MemoryRevocations) Load(ctx context.Context) (string, []Revocation, error) {
	version, _ := m.Version(ctx) // memory never fails
	m.mu.Lock()
	defer m.mu.Unlock()
	return version, m.notOver(), nil
}

// Watch implements RevocationStore.
func (*MemoryRevocations) Watch(context.Context, func()) {}
