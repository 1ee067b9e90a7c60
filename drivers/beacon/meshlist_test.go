package beacon_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/drivers/beacon"
)

// pbListed is a node of the radio's list: the radio itself first, which marks itself as a
// favourite and has no distance from itself.
func pbListed(num uint32, itself bool) string {
	return inFromRadio(pbNodeInfo, wire{}.with(func(w *wire) {
		w.varint(1, uint64(num))
		w.message(2, wire{}.with(func(w *wire) { w.text(1, fmt.Sprintf("!%08x", num)) }))
		w.fixed32(5, 1_800_000_000)
		if itself {
			w.varint(10, 1)
		} else {
			w.varint(9, 0)
		}
	}))
}

func pbCompleted(nonce uint64) string {
	return streamed(wire{}.with(func(w *wire) { w.varint(pbComplete, nonce) }))
}

// TestMeshtasticOfTheRadioItself: what a radio with a GPS says of its own place comes
// between the packets of tags, without a signal strength. The answer to 69421 has no
// my_info; that its list begins with the radio itself is all that tells who it is.
func TestMeshtasticOfTheRadioItself(t *testing.T) {
	const itself, tag = 0xcafe, 0x1c2f13fc
	said := func(from uint32) string { // without rx_rssi
		m := pbFrom(from, pbPortPosition, pbAt(-79_777_000, 1_126_331_000))
		return inFromRadio(pbPacket, m[:len(m)-1])
	}
	heardOnAir := func(from uint32) string {
		return inFromRadio(pbPacket, pbFrom(from, pbPortPosition, pbAt(-79_777_000, 1_126_331_000)))
	}
	list := pbListed(itself, true) + pbListed(tag, false) + pbCompleted(69421)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"the radio, and what it had kept of a tag", list + said(itself) + said(tag), []string{"mesh:1c2f13fc replay"}},
		{"asked twice", list + list + said(itself), nil},
		{"asked again before the end", pbListed(itself, true) + list + said(itself), nil},
		{"another radio on the line", list + pbListed(0xbeef, true) + pbCompleted(69421) + said(0xbeef), nil},
		{"a favourite further down", list + pbListed(itself, true) + pbListed(tag, true) + pbCompleted(69421) + said(tag), []string{"mesh:1c2f13fc replay"}},
		{"its number on air is somebody else's", list + heardOnAir(itself), []string{"mesh:0000cafe"}},
		{"a list without its head", pbListed(tag, false) + pbCompleted(69421) + said(tag), []string{"mesh:1c2f13fc replay"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decode(t, beacon.Meshtastic, strings.NewReader(c.in))
			var tags []string
			for _, fix := range got.Fixes {
				tag := fix.Tag
				if fix.Replay {
					tag += " replay"
				}
				tags = append(tags, tag)
			}
			if diff := cmp.Diff(c.want, tags); diff != "" || len(got.Bad) != 0 {
				t.Errorf("rejects %v (-want +got)\n%s", got.Bad, diff)
			}
		})
	}
}

// TestMeshtasticRegion: AdminMessage.get_config_response, Config.lora, LoRaConfig.region,
// of the radio itself. Another node's settings are no matter, and other settings have
// other numbers there.
func TestMeshtasticRegion(t *testing.T) {
	const itself = 0xcafe
	list := pbListed(itself, true) + pbCompleted(69421)
	answer := func(from uint32, config int, settings wire) string {
		admin := wire{}.with(func(w *wire) {
			w.message(6, wire{}.with(func(w *wire) { w.message(config, settings) }))
			w.bytes(101, []byte("passkey!"))
		})
		m := pbFrom(from, 6, admin)
		return inFromRadio(pbPacket, m[:len(m)-1])
	}
	factory := wire{}.with(func(w *wire) { w.varint(1, 1); w.varint(8, 3); w.varint(9, 1) }) // region 0 is left out
	singapore := factory.with(func(w *wire) { w.varint(7, 18) })
	for name, c := range map[string]struct {
		in   string
		want []beacon.Reason
	}{
		"as from the factory":  {list + answer(itself, 6, factory), []beacon.Reason{beacon.BadRegion}},
		"says so itself":       {list + answer(itself, 6, factory.with(func(w *wire) { w.varint(7, 0) })), []beacon.Reason{beacon.BadRegion}},
		"nothing but defaults": {list + answer(itself, 6, nil), []beacon.Reason{beacon.BadRegion}},
		"set up":               {list + answer(itself, 6, singapore), nil},
		"other settings":       {list + answer(itself, 1, factory), nil},
		"of another node":      {list + answer(0xbeef, 6, factory), nil},
	} {
		got := decode(t, beacon.Meshtastic, strings.NewReader(c.in))
		if diff := cmp.Diff(heard{Bad: c.want}, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// TestMeshtasticSaysToItsRadio: bytes that wake it, want_config_id 69421 and, of the
// radio alone, its LoRa settings; a heartbeat without a nonce. Nothing else, and nothing
// that would be sent on air.
func TestMeshtasticSaysToItsRadio(t *testing.T) {
	const itself = 0xcafe
	synctest.Test(t, func(t *testing.T) {
		line, radio := io.Pipe()
		var said safeBuffer
		d, err := beacon.New(beacon.Meshtastic, line, beacon.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = d.Next() }()
		go func() { _ = d.(beacon.Talker).Talk(ctx, &said) }()
		expect := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := hex.EncodeToString(said.take()); got != want {
				t.Errorf("%s:\n got %s\nwant %s", what, got, want)
			}
		}
		expect("to wake it", strings.Repeat("c3", 32))
		time.Sleep(time.Second)
		expect("want_config", "94c3000418ad9e04")
		_, _ = io.WriteString(radio, pbListed(itself, true)+pbCompleted(69421))
		request := wire{}.with(func(w *wire) { w.varint(5, 5) }) // what it asks for is LORA_CONFIG
		packet := wire{}.with(func(w *wire) {
			w.fixed32(2, itself)
			w.message(4, wire{}.with(func(w *wire) { w.varint(1, 6); w.message(2, request); w.varint(3, 1) }))
		})
		expect("get_config", hex.EncodeToString([]byte(inFromRadio(1, packet)))) // ToRadio.packet is 1
		time.Sleep(5 * time.Minute)
		expect("a heartbeat", "94c300023a00")
		cancel()
		_ = radio.Close()
	})
}

// safeBuffer keeps what one goroutine writes for another.
type safeBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, b...)
	return len(b), nil
}

func (s *safeBuffer) take() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.b
	s.b = nil
	return b
}
