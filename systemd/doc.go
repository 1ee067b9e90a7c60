// Package systemd holds what the package installs for the service manager: the
// units, the user, the folders, the drivers and the names of devices.
//
// It has no code. Its tests have systemd itself judge the files.
package systemd
