package chaintest

import "fmt"

// Month records some streams with events of every kind: restarts clean and not, of the
// process and of the machine, gaps that name what is gone, and seals as often as a gateway
// makes them. There are some size events in each stream.
func (g *Gateway) Month(streams, size int) {
	for i := range streams {
		if i%2 == 0 && i > 0 {
			g.Boot()
		}
		g.Start(i%3 != 0)
		if i == 0 {
			g.tap()
		} else {
			g.Add("gap", Event{"reason": "write-failed", "kinds": map[string]any{"tag": 2}, "first": nil, "last": nil})
		}
		g.Seal()
		for n := range size {
			g.record(n)
			switch n % 23 {
			case 7:
				g.Seal()
			case 15: // somebody asked for three of them to go
				for range 3 {
					g.tap()
				}
				lost := g.Lose(3)
				g.tap()
				g.Add("gap", Event{"reason": "forgotten", "kinds": map[string]any{"badge": 3}, "first": nil, "last": nil, "ranges": []any{lost}})
				g.Seal()
			}
		}
		if i%3 != 1 { // killed
			g.tap()
			g.Seal()
		}
	}
	g.tap()
	g.Seal()
}

func (g *Gateway) record(n int) {
	switch n % 5 {
	case 0, 3:
		g.tap()
	case 1:
		e := Event{
			"receiver": "yard", "tag": "waypoint:PÖS \U0001f600 <&>", "lat": -7.9778 + float64(g.random.IntN(999))/1e6, "lon": 112.634, "accuracy_m": 4.5,
			"fix_time": g.At(int(g.now.Milliseconds())), "fix": "live", "zone": "inside", "rssi": -97, "snr": 6.25,
		}
		if g.random.IntN(2) == 0 {
			e["lat"], e["lon"], e["fix_time"], e["zone"], e["snr"], e["status"] = nil, nil, nil, nil, nil, 3
		}
		g.Add("tag", e)
	case 2:
		g.Add("presence", Event{
			"badge": "h:00112233445566778899aabbccddeeff", "tag": "reyax:50", "state": "on_site", "distance_m": 31.5,
			"events": []any{fmt.Sprintf("%s-%d", g.stream, g.seq), fmt.Sprintf("%s-%d", g.stream, g.seq-1)},
		})
	case 4:
		g.Add("badge", Event{
			"reader": "door", "badge": "h:00112233445566778899aabbccddeeff", "card": "iso14443-4", "assurance": "authenticated-piv", "simulated": true,
			"proof": map[string]any{"random": "0123456789abcdef0123456789abcdef", "signature": "MAYCAQECAQI=", "certificate": g.uuid(4)},
		})
	}
}

func (g *Gateway) tap() {
	e := Event{"reader": "door", "badge": fmt.Sprintf("h:%032x", g.random.Uint64()), "card": "mifare-classic-1k", "assurance": "uid"}
	if g.random.IntN(3) == 0 {
		e["tag_check"] = map[string]any{"tag": "reyax:50", "state": "near", "distance_m": float64(g.random.IntN(999)) / 10, "age_s": 42}
	}
	g.Add("badge", e)
}
