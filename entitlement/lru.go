package entitlement

import "container/list"

// lru is a bounded map that forgets what was used least lately. It is not safe for concurrent use.
type lru[K comparable, V any] struct {
	limit int
	byKey map[K]*list.Element
	order list.List // of *lruEntry, the latest first
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{limit: limit, byKey: make(map[K]*list.Element)}
}

func (l *lru[K, V]) get(key K) (value V, ok bool) {
	element, ok := l.byKey[key]
	if !ok {
		return value, false
	}
	l.order.MoveToFront(element)
	return element.Value.(*lruEntry[K, V]).value, true
}

func (l *lru[K, V]) put(key K, value V) {
	if element, ok := l.byKey[key]; ok {
		l.order.MoveToFront(element)
		element.Value.(*lruEntry[K, V]).value = value
		return
	}
	if len(l.byKey) >= l.limit {
		l.dropLast()
	}
	l.byKey[key] = l.order.PushFront(&lruEntry[K, V]{key, value})
}

// last returns what was used least lately.
func (l *lru[K, V]) last() (value V, ok bool) {
	element := l.order.Back()
	if element == nil {
		return value, false
	}
	return element.Value.(*lruEntry[K, V]).value, true
}

func (l *lru[K, V]) dropLast() {
	if element := l.order.Back(); element != nil {
		delete(l.byKey, element.Value.(*lruEntry[K, V]).key)
		l.order.Remove(element)
	}
}

func (l *lru[K, V]) len() int { return len(l.byKey) }
