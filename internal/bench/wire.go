package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"azekura/api"

	"github.com/google/uuid"
)

// overHTTPS sends the same reads as whole requests to azekura serve.
func (who *readers) overHTTPS(ctx context.Context) error {
	cmd, address, err := who.room.serve(ctx)
	if err != nil {
		return err
	}
	for _, d := range doors {
		if err = who.requestAll(ctx, cmd.Process.Pid, address, d); err != nil {
			break
		}
	}
	return errors.Join(err, stop(cmd))
}

// serve starts a server, and returns its address once it listens.
func (r *room) serve(ctx context.Context) (*exec.Cmd, string, error) {
	cmd, err := r.azekura(ctx, "serve", "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	cmd.Stderr = r.bench.progress
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, rest, found := strings.Cut(line, "https://")
	if err != nil || !found {
		return nil, "", errors.Join(fmt.Errorf("the server said %q, not where it listens", line), err, stop(cmd))
	}
	address, _, _ := strings.Cut(rest, " ")
	return cmd, address, nil
}

// stop ends a server as an operator would.
func stop(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return cmd.Wait()
}

func (who *readers) requestAll(ctx context.Context, pid int, address string, d door) error {
	callers := make([]*caller, d.callers)
	for c := range callers {
		var err error
		if callers[c], err = who.dial(address, who.tokens[c]); err != nil {
			return err
		}
		defer callers[c].conn.Close()
	}
	var ours time.Duration // CPU of this process: the load's own
	meter := func() time.Duration {
		ours = selfCPU() - ours
		own, _ := processCPU(pid)
		return own + who.room.databaseCPU()
	}
	got, err := drive(ctx, d.callers, who.room.bench.scale.Lasts, meter, func(c, n int) error { return callers[c].read(who.id(c, n)) })
	if err != nil {
		return err
	}
	s := stick{"the gate's reads, in this process", target{Least: wireShare}}
	who.add("https", "requests", d, got, target{}, s, who.rates[d.callers])
	b := who.room.bench
	name := fmt.Sprintf("%s, %s, share of the machine that the load's own side took", engineNames[who.room.engine], d)
	b.figure("https", name, "%", target{}, stick{}, 100*ours.Seconds()/(b.scale.Lasts.Seconds()*float64(b.machine.Cores)), 0)
	return nil
}

// caller is one keep-alive connection that sends one prepared request with
// another participant each time. It looks at no more of the answer than its
// status and its length, so that most of the machine is left to the server.
type caller struct {
	conn    *tls.Conn
	in      *bufio.Reader
	request []byte
	id      []byte // the participant's place in the request
}

func (who *readers) dial(address, token string) (*caller, error) {
	raw, err := os.ReadFile(api.CertFile(who.room.dir))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, errors.New("the server's certificate can't be read")
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{who.pc}, ServerName: "localhost", MinVersion: tls.VersionTLS13})
	if err != nil {
		return nil, err
	}
	c := &caller{conn: conn, in: bufio.NewReader(conn)}
	id := uuid.UUID{}.String()
	var names []string
	for _, f := range readFields.Fields() {
		names = append(names, strconv.Quote(f.String()))
	}
	body := fmt.Sprintf(`{"participant":%q,"purpose":%q,"case":%q,"fields":[%s]}`, id, readWhy.Purpose, readWhy.Case, strings.Join(names, ","))
	c.request = fmt.Appendf(nil, "POST /v1/read HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		token, len(body), body)
	at := bytes.Index(c.request, []byte(id))
	c.id = c.request[at : at+len(id)]
	return c, nil
}

// read sends one request and takes its answer.
func (c *caller) read(id uuid.UUID) error {
	text, _ := id.MarshalText() // never fails
	copy(c.id, text)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	said := ""
	if !ok {
		said = string(bytes.TrimSpace(status))
	}
	length, err := c.headers()
	if err != nil {
		return err
	}
	if !ok {
		body, _ := io.ReadAll(io.LimitReader(c.in, int64(length))) // what can be had of it
		return fmt.Errorf("the server answered %s: %s", said, body)
	}
	_, err = c.in.Discard(length)
	return err
}

var contentLength = []byte("Content-Length: ")

// headers reads to the body, and returns its length.
func (c *caller) headers() (length int, err error) {
	length = -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if bytes.HasPrefix(line, contentLength) {
			if length, err = strconv.Atoi(string(line[len(contentLength):])); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("the server's answer has no length")
	}
	return length, nil
}
