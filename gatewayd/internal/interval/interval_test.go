package interval_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/interval"
)

// small are types of which a model can hold every number.
type small interface{ ~int8 | ~uint8 }

// bitmap is a set of numbers as a model: a bit for each number of the type.
type bitmap[T small] [256]bool

// bitmapOf is the numbers of some intervals.
func bitmapOf[T small](list ...interval.Interval[T]) (m bitmap[T]) {
	for _, i := range list {
		for n := int(i.From); n <= int(i.To); n++ {
			m[uint8(n)] = true
		}
	}
	return m
}

func (m bitmap[T]) count() (n uint64) {
	for _, in := range m {
		if in {
			n++
		}
	}
	return n
}

// where is the numbers of which both models say so.
func (m bitmap[T]) where(o bitmap[T], holds func(m, o bool) bool) (all bitmap[T]) {
	for i := range all {
		all[i] = holds(m[i], o[i])
	}
	return all
}

func and(m, o bool) bool    { return m && o }
func or(m, o bool) bool     { return m || o }
func andNot(m, o bool) bool { return m && !o }

func draw[T small](t *rapid.T, label string, number *rapid.Generator[T]) interval.Interval[T] {
	i := interval.Interval[T]{From: number.Draw(t, label+" from"), To: number.Draw(t, label+" to")}
	if i.Empty() && rapid.IntRange(0, 3).Draw(t, label+" stays empty") > 0 {
		i.From, i.To = i.To, i.From
	}
	return i
}

// wellFormed is what a set promises of its intervals.
func wellFormed[T small](t *rapid.T, what string, s interval.Set[T]) {
	for k, i := range s {
		if i.Empty() || k > 0 && int(s[k-1].To)+1 >= int(i.From) {
			t.Fatalf("%s: %v is empty, out of order, overlaps or touches", what, s)
		}
	}
}

// TestIntervalsAreSetsOfNumbers holds every operation against a bitmap, with
// numbers from the whole range of a signed and of an unsigned type.
func TestIntervalsAreSetsOfNumbers(t *testing.T) {
	t.Run("int8", rapid.MakeCheck(func(t *rapid.T) { intervalsAreSets(t, rapid.Int8()) }))
	t.Run("uint8", rapid.MakeCheck(func(t *rapid.T) { intervalsAreSets(t, rapid.Uint8()) }))
}

func intervalsAreSets[T small](t *rapid.T, number *rapid.Generator[T]) {
	a, b, n := draw(t, "a", number), draw(t, "b", number), number.Draw(t, "n")
	inA, inB := bitmapOf(a), bitmapOf(b)
	if a.Empty() != (inA.count() == 0) || a.Count() != inA.count() || a.Has(n) != inA[uint8(n)] {
		t.Fatalf("%v: empty %v, has %d numbers, %d in it: %v", a, a.Empty(), a.Count(), n, a.Has(n))
	}
	both := inA.where(inB, and)
	if bitmapOf(a.Intersect(b)) != both || a.Overlaps(b) != (both.count() > 0) {
		t.Fatalf("%v and %v: both hold %v, overlap: %v", a, b, a.Intersect(b), a.Overlaps(b))
	}
	hull := bitmapOf(a.Hull(b))
	lowest, highest := 256, -256 // of the numbers of a and b
	for _, i := range []interval.Interval[T]{a, b} {
		if !i.Empty() {
			lowest, highest = min(lowest, int(i.From)), max(highest, int(i.To))
		}
	}
	want := bitmap[T]{}
	for n := lowest; n <= highest; n++ {
		want[uint8(n)] = true
	}
	if hull != want {
		t.Fatalf("the hull of %v and %v is %v", a, b, a.Hull(b))
	}
}

// TestSetsAreSetsOfNumbers does the same with sets.
func TestSetsAreSetsOfNumbers(t *testing.T) {
	t.Run("int8", rapid.MakeCheck(func(t *rapid.T) { setsAreSets(t, rapid.Int8()) }))
	t.Run("uint8", rapid.MakeCheck(func(t *rapid.T) { setsAreSets(t, rapid.Uint8()) }))
}

func setsAreSets[T small](t *rapid.T, number *rapid.Generator[T]) {
	// set draws a set by adding one interval after the other, and its model.
	set := func(label string) (s interval.Set[T], m bitmap[T]) {
		var list []interval.Interval[T]
		for range rapid.IntRange(0, 12).Draw(t, label) {
			i := draw(t, label, number)
			if rapid.Bool().Draw(t, label+" short") && i.Count() > 8 {
				i.To = i.From + 7
			}
			list = append(list, i)
			s = s.Add(i)
		}
		wellFormed(t, label, s)
		m = bitmapOf(list...)
		if bitmapOf(s...) != m {
			t.Fatalf("%v were added, and there is %v", list, s)
		}
		before := slices.Clone(list)
		if joined := interval.Join(list); !slices.Equal(joined, s) || !slices.Equal(list, before) {
			t.Fatalf("%v joined is %v, and one after the other %v", before, joined, s)
		}
		return s, m
	}
	s, inS := set("s")
	o, inO := set("o")
	sBefore, oBefore := slices.Clone(s), slices.Clone(o)

	union := s.Union(o)
	wellFormed(t, "union", union)
	if bitmapOf(union...) != inS.where(inO, or) {
		t.Fatalf("the union of %v and %v is %v", s, o, union)
	}
	within := draw(t, "within", number)
	if got, want := s.Count(within), inS.where(bitmapOf(within), and).count(); got != want {
		t.Fatalf("%v has %d numbers of %v, want %d", s, got, within, want)
	}
	outside := s.Outside(within)
	wellFormed(t, "outside", outside)
	if bitmapOf(outside...) != bitmapOf(within).where(inS, andNot) {
		t.Fatalf("of %v outside %v are %v", within, s, outside)
	}
	for _, i := range append(slices.Clone(o), s...) {
		if s.HasInterval(i) != slices.Contains(s, i) {
			t.Fatalf("%v has exactly %v: %v", s, i, s.HasInterval(i))
		}
	}
	without := slices.Clone(s).Remove(within)
	wellFormed(t, "without", without)
	if bitmapOf(without...) != inS.where(bitmapOf(within), andNot) {
		t.Fatalf("%v without %v is %v", s, within, without)
	}
	n := number.Draw(t, "n")
	if s.Has(n) != inS[uint8(n)] {
		t.Fatalf("%d is in %v: %v", n, s, s.Has(n))
	}
	kept := slices.DeleteFunc(slices.Clone(s), func(i interval.Interval[T]) bool { return i.To < n })
	if got := s.DropBelow(n); !slices.Equal(got, kept) {
		t.Fatalf("%v from %d on is %v", s, n, got)
	}
	if !slices.Equal(s, sBefore) || !slices.Equal(o, oBefore) {
		t.Fatalf("an operation changed its operands: %v became %v, %v became %v", sBefore, s, oBefore, o)
	}
}

// TestCountsOfWideTypes: the ends of 64-bit types are numbers like any other.
func TestCountsOfWideTypes(t *testing.T) {
	const least, most = -1 << 63, 1<<63 - 1
	if n := (interval.Interval[int64]{From: least, To: most - 1}).Count(); n != 1<<64-1 {
		t.Errorf("%d numbers", n)
	}
	s := interval.Set[int64]{}.Add(interval.Interval[int64]{From: most, To: most}).Add(interval.Interval[int64]{From: least, To: least})
	if len(s) != 2 || s.Count(interval.Interval[int64]{From: least, To: most}) != 2 {
		t.Errorf("the two ends of the type are %v", s)
	}
	if out := s.Outside(interval.Interval[int64]{From: least, To: most}); len(out) != 1 || out[0] != (interval.Interval[int64]{From: least + 1, To: most - 1}) {
		t.Errorf("between them lies %v", out)
	}
}
