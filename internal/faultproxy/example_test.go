package faultproxy_test

import (
	"fmt"
	"io"
	"net"

	"github.com/lockstep-go/lockstep/internal/faultproxy"
)

func Example() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer server.Close()
	go func() {
		if conn, err := server.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()

	proxy, err := faultproxy.Start(server.Addr().String())
	if err != nil {
		panic(err)
	}
	defer proxy.Close()
	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		panic(err)
	}
	defer conn.Close()

	proxy.CutAfter(faultproxy.Down, 5, faultproxy.Orderly)
	fmt.Fprint(conn, "hello, world")
	reply, err := io.ReadAll(conn)
	fmt.Printf("%q %v\n", reply, err)
	fmt.Println("round trips:", proxy.RoundTrips())
	// Output:
	// "hello" <nil>
	// round trips: 1
}
