package main

import (
	"context"
	"io"
	"net"
	"time"
)

// relay passes connections on to an address, each byte a while later. It stands
// in for a distant network where the kernel can't delay packets itself (netem is
// a kernel's option, and many lack it). It delays and neither loses nor narrows.
func relay(ctx context.Context, to string, delay time.Duration) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			context.AfterFunc(ctx, func() { near.Close(); far.Close() })
			go later(near, far, delay)
			go later(far, near, delay)
		}
	}()
	return l.Addr().String(), nil
}

type piece struct {
	due  time.Time
	data []byte
}

// later copies one direction.
func later(from io.Reader, to net.Conn, delay time.Duration) {
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				pieces <- piece{time.Now().Add(delay), buffer[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	var failed error
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if failed == nil {
			_, failed = to.Write(p.data)
		}
	}
	_ = to.Close() // the other direction may have done so
}
