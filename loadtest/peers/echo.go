// Go: a goroutine for each connection, the standard library alone.
package main

import (
	"bytes"
	"log"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

func isHeader(line string) bool {
	fields := strings.Split(strings.TrimSuffix(line, "\r"), " ")
	if len(fields) != 6 || fields[0] != "PROXY" {
		return false
	}
	for _, address := range fields[2:4] {
		ip, err := netip.ParseAddr(address)
		if err != nil || ip.Is4() != (fields[1] == "TCP4") || ip.Is6() != (fields[1] == "TCP6") {
			return false
		}
	}
	for _, port := range fields[4:] {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
	}
	return true
}

// Not io.Copy: on Linux that splices by a pipe, which costs two more files for each connection and more time for a message.
func echo(conn net.Conn) {
	defer conn.Close()
	buffer, length, headed := make([]byte, 32<<10), 0, false
	for {
		n, err := conn.Read(buffer[length:])
		if err != nil {
			return
		}
		length += n
		if !headed {
			end := bytes.IndexByte(buffer[:length], '\n')
			if end < 0 && length <= 107 {
				continue
			}
			if end < 0 || !isHeader(string(buffer[:end])) {
				return
			}
			headed = true
		}
		if _, err := conn.Write(buffer[:length]); err != nil {
			return
		}
		length = 0
	}
}

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go echo(conn)
	}
}
