package uplink

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestASlowWebSocketIsClosedInTime: a server that reads slowly keeps nobody from closing
// the connection, although what was sent is not out. Package websocket alone would take
// back the deadline that Close sets, at the next frame.
func TestASlowWebSocketIsClosedInTime(t *testing.T) {
	t.Parallel()
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		defer ws.Close()
		for part := make([]byte, 16<<10); ; {
			if _, err := ws.NetConn().Read(part); err != nil {
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}))
	defer server.Close()
	defer close(ended)
	u := New(Options{Address: server.Listener.Addr().String(), WebSocket: "/"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, failed, err := u.open(ctx, nil)
	if err != nil {
		t.Fatalf("failed at %s with %v", failed, err)
	}
	line := newCoalescing(conn, 64<<20)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		// A minute's worth, at what the server reads.
		for range 2 {
			if _, err := line.Write(make([]byte, 24<<20)); err != nil {
				t.Errorf("write: %v", err)
			}
		}
		_ = line.Close() // with the error of the write
	}()
	select {
	case <-closed:
	case <-time.After(lastWords + 8*time.Second):
		t.Error("the connection could not be closed")
	}
}
