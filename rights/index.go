package rights

import "strings"

// index finds the titles and blackouts of a path: a tree whose branches are path elements, one of which may be the asterisk.
type index[T any] struct {
	root branch[T]
}

type branch[T any] struct {
	literal map[string]*branch[T]
	star    *branch[T]
	values  []T
}

// at returns the branch of a path, which it makes if it is not there.
func (x *index[T]) at(path string) *branch[T] {
	b := &x.root
	for element := range elements(path) {
		next := b.star
		if element != "*" {
			next = b.literal[element]
		}
		if next == nil {
			next = new(branch[T])
			switch {
			case element == "*":
				b.star = next
			case b.literal == nil:
				b.literal = map[string]*branch[T]{element: next}
			default:
				b.literal[element] = next
			}
		}
		b = next
	}
	return b
}

// elements yields the elements of a clean path; a slash at its end makes none.
func elements(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for rest := strings.TrimPrefix(path, "/"); rest != ""; {
			var element string
			element, rest, _ = strings.Cut(rest, "/")
			if !yield(element) {
				return
			}
		}
	}
}

// deepest returns the values of the branch that is most specific for what lies at rest below b: the one with the most elements
// and, among those, with a name instead of an asterisk where they differ first. Each branch is visited at most once.
func (b *branch[T]) deepest(rest string, depth int) (values []T, best int) {
	values, best = b.values, depth
	if len(values) == 0 {
		best = -1
	}
	if rest == "" {
		return values, best
	}
	element, rest, _ := strings.Cut(rest, "/")
	if next := b.literal[element]; next != nil {
		if v, d := next.deepest(rest, depth+1); d > best {
			values, best = v, d
		}
	}
	if b.star != nil && element != "" {
		if v, d := b.star.deepest(rest, depth+1); d > best {
			values, best = v, d
		}
	}
	return values, best
}

// all calls use with each value whose path holds what lies at rest below b.
func (b *branch[T]) all(rest string, use func(T)) {
	for _, value := range b.values {
		use(value)
	}
	if rest == "" {
		return
	}
	element, rest, _ := strings.Cut(rest, "/")
	if next := b.literal[element]; next != nil {
		next.all(rest, use)
	}
	if b.star != nil && element != "" {
		b.star.all(rest, use)
	}
}
