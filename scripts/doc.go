// Package scripts holds what a technician runs: install.sh and provision.sh.
//
// It has no code. Its tests run the scripts in scratch roots.
package scripts
