package segcache

import "container/list"

// recent holds the newest entries, whatever their use: first in, first out, by bytes. The Cache's lock guards it.
type recent struct {
	maxBytes, bytes int64
	byKey           map[Key]*list.Element // of order
	order           list.List             // of *Entry, the oldest in front
}

func (r *recent) get(key Key) *Entry {
	element, ok := r.byKey[key]
	if !ok {
		return nil
	}
	return entryOf(element)
}

// add puts e in, in place of an entry with the same key, and returns the oldest ones, which have to go for it.
func (r *recent) add(e *Entry) (oldest []*Entry) {
	if old, ok := r.byKey[e.key]; ok {
		r.remove(old)
	}
	if e.cost() > r.maxBytes {
		return nil
	}
	if r.byKey == nil {
		r.byKey = make(map[Key]*list.Element)
	}
	r.byKey[e.key] = r.order.PushBack(e)
	r.bytes += e.cost()
	return r.trim()
}

// resize changes the number of bytes and returns what has to go.
func (r *recent) resize(maxBytes int64) (oldest []*Entry) {
	r.maxBytes = maxBytes
	return r.trim()
}

func (r *recent) trim() (oldest []*Entry) {
	for r.bytes > r.maxBytes {
		front := r.order.Front()
		oldest = append(oldest, entryOf(front))
		r.remove(front)
	}
	return oldest
}

func (r *recent) remove(element *list.Element) {
	e := entryOf(element)
	r.order.Remove(element)
	delete(r.byKey, e.key)
	r.bytes -= e.cost()
}

func entryOf(element *list.Element) *Entry {
	e, _ := element.Value.(*Entry) // nothing else is put in
	return e
}
