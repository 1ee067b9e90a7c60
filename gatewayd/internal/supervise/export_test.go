package supervise

// Lives reports whether the watchdog would be fed now.
func (s *Systemd) Lives() bool { return s.lives() }
