package mfrc522test

// Timer.

func (c *Chip) startTimer(at instant) {
	prescaler := int64(c.reg[regTMode]&0x0F)<<8 | int64(c.reg[regTPrescaler])
	ticks := 2*prescaler + 1
	if c.reg[regDemod]&demodPrescalEven != 0 {
		ticks++
	}
	reload := int64(c.reg[regTReloadH])<<8 | int64(c.reg[regTReloadL])
	c.timerTick = max(cycles(ticks), 1)
	c.due[evTimer] = at + cycles(ticks*(reload+1))
}

func (c *Chip) stopTimer(at instant) {
	c.timerLeft = c.timerCount(at)
	c.due[evTimer] = never
}

func (c *Chip) timerCount(now instant) uint16 {
	if c.due[evTimer] == never {
		return c.timerLeft
	}
	return uint16(min(max(c.due[evTimer]-now, 0)/c.timerTick, 0xFFFF))
}
