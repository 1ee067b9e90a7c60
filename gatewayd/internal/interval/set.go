package interval

import (
	"cmp"
	"slices"
)

// Set holds the numbers of some intervals: none of them empty, in order, and
// neither overlapping nor touching. The zero value holds no number. A set is
// meant for few intervals: most operations walk through all of them.
type Set[T Integer] []Interval[T]

// Join is the set of all numbers of a list of intervals, in any order.
func Join[T Integer](list []Interval[T]) Set[T] {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b Interval[T]) int { return cmp.Compare(a.From, b.From) })
	joined := make(Set[T], 0, len(sorted))
	for _, i := range sorted {
		joined = joined.Add(i)
	}
	return joined
}

// Add puts the numbers of an interval in. As with append, the set before must not
// be used any more.
func (s Set[T]) Add(i Interval[T]) Set[T] {
	if i.Empty() {
		return s
	}
	// Those from first up to, but without, last become one with the new interval.
	first, _ := slices.BinarySearchFunc(s, i.From, func(one Interval[T], from T) int {
		if one.endsBefore(from) {
			return -1
		}
		return 1
	})
	last := first
	for last < len(s) && !i.endsBefore(s[last].From) {
		i = i.Hull(s[last])
		last++
	}
	return slices.Replace(s, first, last, i)
}

// Remove takes the numbers of an interval out. As with Add, the set before must not be
// used any more.
func (s Set[T]) Remove(i Interval[T]) Set[T] {
	if i.Empty() {
		return s
	}
	first, _ := slices.BinarySearchFunc(s, i.From, func(one Interval[T], from T) int { return cmp.Compare(one.To, from) })
	last := first
	var left []Interval[T] // of those that the interval touches
	for last < len(s) && s[last].From <= i.To {
		if s[last].From < i.From {
			left = append(left, Interval[T]{s[last].From, i.From - 1})
		}
		if s[last].To > i.To {
			left = append(left, Interval[T]{i.To + 1, s[last].To})
		}
		last++
	}
	return slices.Replace(s, first, last, left...)
}

// Has reports whether a number is in the set.
func (s Set[T]) Has(n T) bool {
	at, _ := slices.BinarySearchFunc(s, n, func(one Interval[T], n T) int { return cmp.Compare(one.To, n) })
	return at < len(s) && s[at].Has(n)
}

// Union is the numbers of both sets. Neither changes; where the other is empty the
// answer is the set itself.
func (s Set[T]) Union(o Set[T]) Set[T] {
	if len(o) == 0 {
		return s
	}
	return Join(slices.Concat(s, o))
}

// Count is how many numbers of an interval are in the set.
func (s Set[T]) Count(within Interval[T]) (n uint64) {
	for _, i := range s {
		n += i.Intersect(within).Count()
	}
	return n
}

// Outside is the numbers of an interval that are not in the set.
func (s Set[T]) Outside(within Interval[T]) (out Set[T]) {
	rest := within // what is not looked at yet
	for _, i := range s {
		if !i.Overlaps(rest) {
			continue
		}
		if i.From > rest.From {
			out = append(out, Interval[T]{rest.From, i.From - 1})
		}
		if i.To >= rest.To {
			return out
		}
		rest.From = i.To + 1
	}
	if !rest.Empty() {
		out = append(out, rest)
	}
	return out
}

// HasInterval reports whether exactly this interval is one of the set's.
func (s Set[T]) HasInterval(i Interval[T]) bool {
	at, found := slices.BinarySearchFunc(s, i.From, func(one Interval[T], from T) int { return cmp.Compare(one.From, from) })
	return found && s[at] == i
}

// DropBelow is the set without the intervals that end before a number. One that
// holds it or begins after it stays whole.
func (s Set[T]) DropBelow(n T) Set[T] {
	for len(s) > 0 && s[0].To < n {
		s = s[1:]
	}
	return s
}
