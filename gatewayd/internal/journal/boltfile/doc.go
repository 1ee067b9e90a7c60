// Package boltfile reads the file of a bbolt database (go.etcd.io/bbolt, format
// version 2) without bbolt.
//
// It exists because bbolt trusts its file: what is wrong with a page shows there as a
// panic, or as a signal where the memory map ends behind the file. This package reads
// pages with ReadAt, believes nothing, and returns errors that wrap ErrDamaged. What is
// sound around a damaged page can still be read.
//
// It knows pages, buckets and entries, and nothing of what they hold. A file has two
// meta pages, of which the newer valid one counts; a tree of buckets whose root is one
// leaf page; under each bucket a tree of its own, or a small leaf page inside the
// bucket's entry (an inline bucket); and a list of free pages, which may be missing.
package boltfile
