package interval

// Integer is any type of whole numbers.
type Integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

// Interval holds the numbers From, From+1, ... To; none where From > To.
type Interval[T Integer] struct{ From, To T }

// Of holds the numbers from..to.
func Of[T Integer](from, to T) Interval[T] { return Interval[T]{from, to} }

// Empty reports whether the interval holds no number.
func (i Interval[T]) Empty() bool { return i.From > i.To }

// Has reports whether the interval holds a number.
func (i Interval[T]) Has(n T) bool { return i.From <= n && n <= i.To }

// Count is how many numbers the interval holds. Of all numbers of a 64-bit type
// that is one more than can be said, and it says 0.
func (i Interval[T]) Count() uint64 {
	if i.Empty() {
		return 0
	}
	// In two's complement the difference is right for negative numbers too.
	return uint64(i.To) - uint64(i.From) + 1
}

// Overlaps reports whether some number is in both intervals.
func (i Interval[T]) Overlaps(o Interval[T]) bool { return !i.Intersect(o).Empty() }

// Intersect is the numbers that are in both intervals.
func (i Interval[T]) Intersect(o Interval[T]) Interval[T] {
	return Interval[T]{max(i.From, o.From), min(i.To, o.To)}
}

// Hull is the smallest interval that holds all numbers of both, and those between
// them.
func (i Interval[T]) Hull(o Interval[T]) Interval[T] {
	switch {
	case i.Empty():
		return o
	case o.Empty():
		return i
	}
	return Interval[T]{min(i.From, o.From), max(i.To, o.To)}
}

// endsBefore reports whether the interval ends before a number and does not touch
// it either: at least one number lies between.
func (i Interval[T]) endsBefore(n T) bool { return i.To < n && i.To+1 < n }
