// Dataplane follows a control plane as a node of its own, and prints the routes that it would serve.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"holdfast.example/clients/node"
)

func main() {
	address := flag.String("control-plane", "127.0.0.1:8005", "`host:port` of the sync listener")
	id := flag.String("node-id", "example-go", "the node's `id`, unique in the workspace")
	workspace := flag.String("workspace", "default", "`name` of the workspace")
	dir := flag.String("data-dir", "data", "`folder` that the state is kept in")
	certificate := flag.String("cert", "", "`file` with this node's certificate; without it the link is in clear text")
	key := flag.String("key", "", "`file` with the certificate's private key")
	authority := flag.String("ca", "", "`file` with the certificates of who signs control planes")
	flag.Parse()

	link, err := security(*certificate, *key, *authority)
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(link))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	n, err := node.Open(node.Options{
		ID: *id, Workspace: *workspace, Dir: *dir, Prepare: prepare, Serving: printRoutes,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := n.Run(ctx, connection); !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

// security is mutual TLS, by files as "holdfast cert" makes them; or none, which a control plane allows on loopback only.
func security(certificate, key, authority string) (credentials.TransportCredentials, error) {
	if certificate == "" && key == "" && authority == "" {
		return insecure.NewCredentials(), nil
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	trusted, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(trusted) {
		return nil, fmt.Errorf("%s has no certificate", authority)
	}
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12,
	}), nil
}
