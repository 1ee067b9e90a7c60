package replay

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"sync"
	"time"

	"presence/config"
	"presence/drivers/beacon"
	"presence/drivers/beacon/capture"
	"presence/drivers/serial"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/language"
)

// Record writes what a receiver hears into a file until the context ends: through the
// daemon where it runs, which holds the port, and from the port itself where it does
// not. The file must not be there yet, and is for its owner only: it says where people
// are.
func Record(ctx context.Context, cfg *config.Config, r config.Receiver, path string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return language.Errorf("%s is there already: give another name, or remove it first", "%s sudah ada: beri nama lain, atau hapus dahulu", path)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Sync(), out.Close()) }()
	d, err := control.Dial(cfg.Gateway.StateDir)
	if err == nil {
		return fromDaemon(ctx, d, r.Name, out)
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	port, err := serial.Open(serial.Config{Port: r.Port, Baud: r.Baud})
	if err != nil {
		return err
	}
	return FromPort(ctx, port, capture.Header{
		Gateway: cfg.Gateway.ID, Receiver: r.Name, Protocol: r.Protocol, Payload: r.Payload, Baud: r.Baud,
		Started: time.Now().In(cfg.Gateway.Timezone).Format(time.RFC3339),
	}, out)
}

// fromDaemon has the daemon say what it hears, until the context ends.
func fromDaemon(ctx context.Context, d *control.Client, receiver string, out io.Writer) error {
	body, err := d.Get(ctx, "/record?receiver="+url.QueryEscape(receiver))
	if err == nil {
		_, err = io.Copy(out, body)
		_ = body.Close()
	}
	if ctx.Err() != nil {
		return nil // it was long enough
	}
	if err == nil {
		err = language.Errorf("gatewayd has stopped, or reads its configuration again", "gatewayd telah berhenti, atau membaca ulang konfigurasinya")
	}
	return language.Errorf("the recording ends early: %v", "rekaman berakhir lebih awal: %v", err)
}

// FromPort records what comes over an open port, which it closes, until the context
// ends. A radio that has to be spoken to is.
func FromPort(ctx context.Context, port io.ReadWriteCloser, h capture.Header, out io.Writer) (err error) {
	w, err := capture.NewWriter(out, h)
	if err != nil {
		return errors.Join(err, port.Close())
	}
	started := time.Now()
	var failed error
	hear := func(data []byte) {
		if failed == nil {
			failed = w.Write(capture.Piece{At: time.Since(started), Data: data})
		}
	}
	decoder, err := beacon.New(h.Protocol, beacon.Overhear(port, hear), beacon.Options{Payload: h.Payload})
	if err != nil {
		return errors.Join(err, port.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() {
		<-ctx.Done()
		_ = port.Close() // ends a read that waits
	})
	if talker, ok := decoder.(beacon.Talker); ok {
		ended.Go(func() { _ = talker.Talk(ctx, port) }) // that it fails shows when the port is read
	}
	for err == nil && failed == nil {
		_, err = decoder.Next()
	}
	stopped := ctx.Err() != nil
	cancel()
	ended.Wait()
	if failed != nil || stopped {
		return failed
	}
	return language.Errorf("the recording ends early: %v", "rekaman berakhir lebih awal: %v", err)
}
