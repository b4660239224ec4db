package main

import (
	"fmt"
	"io"
	"net"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		panic(err)
	}
	policy := func(peer net.Addr) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil }
	proxied := &proxyproto.Listener{Listener: listener, Policy: policy, ReadHeaderTimeout: 10 * time.Second}
	for {
		conn, err := proxied.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			// The header is read with the first bytes of the payload, and with it an error.
			bytes := make([]byte, 65536)
			n, err := conn.Read(bytes)
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s\n", conn.RemoteAddr())
			conn.Write(bytes[:n])
			io.Copy(conn, conn)
		}()
	}
}
