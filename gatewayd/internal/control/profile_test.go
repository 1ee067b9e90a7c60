package control_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"

	"presence/gatewayd/internal/control"
	"presence/scripts/skiptest"
)

// dialAs connects to a socket as another user. It takes root.
func dialAs(path string, uid int) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread is given up with the goroutine, as it is never unlocked.
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			err = errno
			return
		}
		conn, err = net.Dial("unix", path)
	}()
	<-done
	return conn, err
}

// get asks a daemon as a user.
func get(t *testing.T, dir, path string, uid int) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return dialAs(filepath.Join(dir, control.SocketName), uid)
	}}}
	resp, err := client.Get("http://gatewayd" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Profiles say what goes on in the process: they are for those who could look into it
// anyway.
func TestProfilesAreForRootAndTheOwner(t *testing.T) {
	skiptest.Root(t, "to become other users")
	const owner, member = 64123, 64124
	d := fake()
	d.Owner = owner
	dir := serve(t, d)
	// Let the test's users through to the socket.
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o711, dir: 0o711, filepath.Join(dir, control.SocketName): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	pprof.Do(t.Context(), pprof.Labels("task", "reader door"), func(context.Context) {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1"} {
			for _, uid := range []int{0, owner} {
				if status, body := get(t, dir, path, uid); status != http.StatusOK || body == "" {
					t.Errorf("%s of user %d: %d %s", path, uid, status, body)
				}
			}
			if status, body := get(t, dir, path, member); status != http.StatusForbidden || !strings.Contains(body, control.ErrOwnerOnly.Error()) {
				t.Errorf("%s of a member of the group: %d %s", path, status, body)
			}
		}
		if _, body := get(t, dir, "/debug/pprof/goroutine?debug=1", 0); !strings.Contains(body, `"task":"reader door"`) || !strings.Contains(body, "TestProfilesAreForRootAndTheOwner") {
			t.Errorf("a task's goroutine is not named: %s", body)
		}
	})
	if status, _ := get(t, dir, "/status", member); status != http.StatusOK {
		t.Errorf("a member may not even ask how it is: %d", status)
	}
}
