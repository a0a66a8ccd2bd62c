// The bare stream server of bench/support/bare-stream.ts with grpc-go: sends the same bytes to all streams and waits
// until each has answered. Takes commands as lines, answers with lines.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

// raw passes bytes through as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

type hub struct {
	lock    sync.Mutex
	streams map[chan *[]byte]struct{}
	answers chan float64
}

// nowNs is the machine's monotonic clock, which all processes share.
func nowNs() float64 {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		panic(err)
	}
	return float64(at.Nano())
}

func (h *hub) connect(_ any, stream grpc.ServerStream) error {
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	out := make(chan *[]byte, 1)
	h.lock.Lock()
	h.streams[out] = struct{}{}
	h.lock.Unlock()
	defer func() {
		h.lock.Lock()
		delete(h.streams, out)
		h.lock.Unlock()
	}()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			var answer []byte
			if err := stream.RecvMsg(&answer); err != nil {
				return
			}
			h.answers <- nowNs()
		}
	}()
	for {
		select {
		case message := <-out:
			if err := stream.SendMsg(message); err != nil {
				return err
			}
		case <-gone:
			return nil
		}
	}
}

func (h *hub) send(message []byte) string {
	h.lock.Lock()
	all := make([]chan *[]byte, 0, len(h.streams))
	for out := range h.streams {
		all = append(all, out)
	}
	h.lock.Unlock()
	times := make([]float64, 0, len(all)+1)
	times = append(times, nowNs())
	for _, out := range all {
		out <- &message
	}
	limit := time.After(2 * time.Minute)
	for len(times) <= len(all) {
		select {
		case at := <-h.answers:
			times = append(times, at)
		case <-limit:
			panic("streams did not answer")
		}
	}
	var line strings.Builder
	for i, at := range times {
		if i > 0 {
			line.WriteByte(' ')
		}
		fmt.Fprintf(&line, "%.0f", at)
	}
	return line.String()
}

func main() {
	certFile, keyFile := os.Args[1], os.Args[2]
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		panic(err)
	}
	pem, err := os.ReadFile(certFile)
	if err != nil {
		panic(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	h := &hub{streams: map[chan *[]byte]struct{}{}, answers: make(chan float64, 1<<16)}
	encoding.RegisterCodecV2(raw{})
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    trusted,
	})))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "holdfast.bench.Bare",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    "Connect",
			Handler:       h.connect,
			ServerStreams: true,
			ClientStreams: true,
		}},
	}, h)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		if err := server.Serve(listener); err != nil {
			panic(err)
		}
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "streams":
			h.lock.Lock()
			count := len(h.streams)
			h.lock.Unlock()
			fmt.Println(count)
		case "send":
			message, err := base64.StdEncoding.DecodeString(argument)
			if err != nil {
				panic(err)
			}
			fmt.Println(h.send(message))
		}
	}
}
