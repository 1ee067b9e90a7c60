// Package durable writes files so that they survive a power cut: after one, a file
// has its old content or its new content, and never half of one or nothing.
//
// That takes four steps in this order (fsync(2), rename(2)): write a temporary file
// beside the old one, sync it, rename it over the old one, and sync the directory,
// without which the rename itself may be lost. Every file that the gateway replaces in
// its state directory is replaced by this package, so that no step can be forgotten in
// one of several places. github.com/google/renameio/v2 was passed over because it does
// not sync the directory, and because a file that root writes would belong to root.
package durable
