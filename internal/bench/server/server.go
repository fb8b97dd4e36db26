// Package server runs the built binary as a process of its own, the way an operator does, for the programs that judge
// it from outside.
//
// It knows the command line, the environment and the probes of Marquee and nothing else of it. The process sees no
// MARQUEE_ variable of its parent, so that a run never touches the data of an installation, except MARQUEE_PG_BIN, which
// says where PostgreSQL's programs are.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say what to start.
type Options struct {
	Binary string
	Args   []string          // after "serve"
	Env    map[string]string // MARQUEE_ variables beside the listening addresses
	Log    *os.File          // takes what the process prints; nil discards it
}

// Server is a running process. Its methods may be called from several goroutines.
type Server struct {
	address, ops string
	process      *os.Process
	done         chan struct{}
	exit         error // set before done is closed
}

// pgBin is the one variable of an installation that a test run needs too.
const pgBin = "MARQUEE_PG_BIN"

// poll is how often a process that is starting is asked whether it is ready.
const poll = 10 * time.Millisecond

// Start starts the binary on two free ports of the loopback interface and does not wait for it. Who starts must Stop.
func Start(o Options) (*Server, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	ops, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(o.Binary, append([]string{"serve"}, o.Args...)...) //nolint:noctx // Stop ends it, by a signal it can answer
	cmd.Env = append(environment(os.Environ()), "MARQUEE_LISTEN="+address, "MARQUEE_OPS_LISTEN="+ops)
	for name, value := range o.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if o.Log != nil {
		cmd.Stdout, cmd.Stderr = o.Log, o.Log
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Binary, err)
	}
	s := &Server{address: address, ops: ops, process: cmd.Process, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := cmd.Wait(); err != nil {
			s.exit = fmt.Errorf("the server ended with an error: %w", err)
		}
	}()
	return s, nil
}

// environment is what a process inherits: everything but the settings of an installation.
func environment(parent []string) []string {
	return slices.DeleteFunc(slices.Clone(parent), func(variable string) bool {
		return strings.HasPrefix(variable, "MARQUEE_") && !strings.HasPrefix(variable, pgBin+"=")
	})
}

// FreeAddress returns an address of the loopback interface that nobody listens on at this moment.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("look for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// PID is the id of the process.
func (s *Server) PID() int { return s.process.Pid }

// CPU is the processor time that the process has used, its own and the kernel's on its behalf, to a hundredth of a second.
func (s *Server) CPU() (time.Duration, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the server's processor time: %w", err)
	}
	return cpuOf(string(line))
}

// cpuOf reads fields 14 and 15 of a process's line in proc(5), in ticks of which Linux shows a hundred a second. The
// second field is a name in brackets in which anything may stand.
func cpuOf(line string) (time.Duration, error) {
	const tick, user, system = 10 * time.Millisecond, 14 - 3, 15 - 3
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) <= system {
		return 0, fmt.Errorf("a process's line is %q", line)
	}
	u, err := strconv.ParseInt(fields[user], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("a process's line is %q: %w", line, err)
	}
	k, err := strconv.ParseInt(fields[system], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("a process's line is %q: %w", line, err)
	}
	return time.Duration(u+k) * tick, nil
}

// Address is where the API listens, as host:port.
func (s *Server) Address() string { return s.address }

// URL is the root of the API.
func (s *Server) URL() string { return "http://" + s.address }

// GraphQL is the URL of the endpoint.
func (s *Server) GraphQL() string { return s.URL() + "/graphql" }

// Ops is the root of metrics and profiles.
func (s *Server) Ops() string { return "http://" + s.ops }

// Ready waits until the process serves, by its readiness probe. It fails when the process ends first.
func (s *Server) Ready(ctx context.Context) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	var last error
	for {
		if last = s.probe(ctx); last == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-s.done:
			return errors.Join(errors.New("the server ended before it was ready"), s.Exit())
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready in time: %w", errors.Join(context.Cause(ctx), last))
		}
	}
}

func (s *Server) probe(ctx context.Context) error {
	status, body, err := Get(ctx, s.URL()+"/readyz")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("answer %d: %s", status, strings.TrimSpace(body))
	}
	return err
}

// Get reads a page of text.
func Get(ctx context.Context, url string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", fmt.Errorf("prepare a request: %w", err)
	}
	// A connection of its own for each: one that is kept would have to be drained by a server that stops.
	r.Close = true
	answer, err := (&http.Client{}).Do(r)
	if err != nil {
		return 0, "", fmt.Errorf("read %s: %w", url, err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, "", fmt.Errorf("read %s: %w", url, err)
	}
	return answer.StatusCode, string(content), nil
}

// Terminate asks the process to end, as an operator's SIGTERM does.
func (s *Server) Terminate() error {
	if err := s.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate the server: %w", err)
	}
	return nil
}

// Done is closed when the process has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Exit waits for the end of the process and says how it was: nil for the exit code 0.
func (s *Server) Exit() error {
	<-s.done
	return s.exit
}

// Stop terminates the process and waits until it has ended; at the end of ctx it is killed. It returns an error unless
// the process ended by itself with the exit code 0. A process that has ended already is fine.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.Terminate(); err != nil {
		return err
	}
	select {
	case <-s.done:
		return s.Exit()
	case <-ctx.Done():
		_ = s.process.Kill()
		<-s.done
		return fmt.Errorf("the server did not stop and was killed: %w", context.Cause(ctx))
	}
}
