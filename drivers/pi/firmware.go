package pi

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// setting is a line of the firmware's configuration.
type setting struct {
	key, value string
	applies    bool // to this model
}

// settings reads the firmware's configuration (config.txt) for a model of Pi. Filters
// such as [pi4] are those of Raspberry Pi's documentation, "Conditional filters"; one
// that cannot be judged from the model, such as [EDID=...], counts as met.
func settings(config, model string) (all []setting) {
	met, never := true, false
	for line := range strings.Lines(config) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			switch filter := strings.ToLower(strings.Trim(line, "[]")); {
			case filter == "all":
				met, never = true, false
			case filter == "none":
				never = true
			case isModelFilter(filter):
				never = false
				met = model == "" || slices.Contains(filtersOf(model), filter)
			}
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && !never {
			all = append(all, setting{strings.TrimSpace(key), strings.TrimSpace(value), met})
		}
	}
	return all
}

// isModelFilter reports whether a filter of config.txt goes by the model.
func isModelFilter(filter string) bool {
	name := strings.TrimRight(filter, "0123456789ws+")
	return name == "pi" || name == "cm"
}

// filtersOf are the model filters that a model (as the device tree calls it) meets.
func filtersOf(model string) []string {
	has := func(text string) bool { return strings.Contains(model, text) }
	switch {
	case has("Pi Zero 2"):
		return []string{"pi0", "pi0w", "pi02"}
	case has("Pi Zero W"):
		return []string{"pi0", "pi0w"}
	case has("Pi Zero"):
		return []string{"pi0"}
	case has("Pi 500"):
		return []string{"pi5", "pi500"}
	case has("Pi 5"):
		return []string{"pi5"}
	case has("Compute Module 5"):
		return []string{"pi5", "cm5"}
	case has("Pi 400"):
		return []string{"pi4", "pi400"}
	case has("Pi 4"):
		return []string{"pi4"}
	case has("Compute Module 4S"):
		return []string{"pi4", "cm4s"}
	case has("Compute Module 4"):
		return []string{"pi4", "cm4"}
	case has("Pi 3") && has("Plus"):
		return []string{"pi3", "pi3+"}
	case has("Pi 3"), has("Compute Module 3"):
		return []string{"pi3"}
	case has("Pi 2"):
		return []string{"pi2"}
	}
	return []string{"pi1"}
}

// SPIOn reports whether the firmware's configuration switches a SPI bus on for a model
// of Pi ("" where that is unknown): bus 0 with dtparam=spi=on, others with an overlay
// such as spi1-1cs. With elsewhere it does so for other models only.
func SPIOn(config, model string, bus int) (on, elsewhere bool) {
	other := false
	for _, s := range settings(config, model) {
		state := &on
		if !s.applies {
			state = &other
		}
		switch s.key {
		case "dtparam":
			for setting := range strings.SplitSeq(s.value, ",") {
				name, value, given := strings.Cut(setting, "=")
				if bus == 0 && name == "spi" {
					*state = !given || value == "on" || value == "true" || value == "yes" || value == "1"
				}
			}
		case "dtoverlay":
			if strings.HasPrefix(s.value, "spi"+strconv.Itoa(bus)+"-") {
				*state = true
			}
		}
	}
	return on, other && !on
}

// SPIDriver is what has taken a place on a SPI bus for itself, so that there is no
// spidev for it: the kernel's driver, or the kind of chip that was announced there; ""
// where nothing has.
func (b Board) SPIDriver(bus, chip int) string {
	dir := filepath.Join("sys/bus/spi/devices", "spi"+strconv.Itoa(bus)+"."+strconv.Itoa(chip))
	name := strings.TrimPrefix(strings.TrimSpace(string(b.read(filepath.Join(dir, "modalias")))), "spi:")
	if driver, err := os.Readlink(filepath.Join(b.Root, dir, "driver")); err == nil {
		name = filepath.Base(driver)
	}
	if name == "spidev" {
		return ""
	}
	return name
}

// Overlays are the device tree overlays that the firmware's configuration loads on a
// model of Pi, without their parameters.
func Overlays(config, model string) (names []string) {
	for _, s := range settings(config, model) {
		if s.applies && s.key == "dtoverlay" {
			name, _, _ := strings.Cut(s.value, ",")
			names = append(names, name)
		}
	}
	return names
}

// TakesSPI reports whether an overlay is one of those that give spidev0.0 to a display,
// a touch screen, or a network chip (the README of the kernel's overlays), or one of the
// vendors' copies of them.
func TakesSPI(overlay string) bool {
	return slices.ContainsFunc([]string{
		"ads7846", "adafruit", "enc28j60", "fbtft", "hy28", "itdb", "jedec-spi-nor", "joy-it", "lcd", "mcp2515", "mcp251xfd",
		"mhs", "mipi-dbi-spi", "mpi", "mz61581", "piscreen", "pitft", "qca7000", "rpi-display", "spi-rtc", "ssd1306-spi", "ssd1331-spi", "ssd1351-spi",
		"tft", "tinylcd", "w5500", "waveshare",
	}, func(begin string) bool { return strings.HasPrefix(overlay, begin) })
}
