package uplink

import (
	"bytes"
	"io"
	"net"
	"testing"
)

func TestCoalescedWritesArriveInOrderAndToTheLast(t *testing.T) {
	near, far := net.Pipe()
	w := newCoalescing(near, 1<<20)
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(far) // ends with the connection
		got <- all
	}()
	var want []byte
	for i := range 20_000 {
		p := bytes.Repeat([]byte{byte(i)}, i%37+1)
		want = append(want, p...)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if all := <-got; !bytes.Equal(all, want) {
		t.Errorf("%d bytes arrived of %d", len(all), len(want))
	}
	if _, err := w.Write([]byte("late")); err == nil {
		t.Error("a closed connection takes more")
	}
}

func TestFailedWriteEndsTheConnection(t *testing.T) {
	near, far := net.Pipe()
	w := newCoalescing(near, 1<<20)
	far.Close()
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err) // it is only noticed behind
	}
	if _, err := w.Read(make([]byte, 1)); err == nil {
		t.Error("the reader was not told")
	}
	<-w.done
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("it takes more after a failure")
	}
	w.Close()
}
