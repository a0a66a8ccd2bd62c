// Change makes a service and a route in one transaction, waits until the data planes serve it, and prints the revision as
// everybody who watches sees it.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	adminv1 "holdfast.example/clients/gen/holdfast/admin/v1"
	configv1 "holdfast.example/clients/gen/holdfast/config/v1"
)

func main() {
	address := flag.String("admin", "127.0.0.1:8001", "`host:port` of the admin listener")
	ca := flag.String("ca", "", "`file` with the authority of the admin listener's certificate (PEM); without it no TLS")
	host := flag.String("host", "example.com", "`name` of the host that requests go to")
	path := flag.String("path", "/go", "`path` of the requests")
	flag.Parse()

	security, err := security(*ca)
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(security))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// A control plane with --admin-token-file wants to know who calls.
	if token := os.Getenv("HOLDFAST_TOKEN"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	if err := run(ctx, adminv1.NewConfigServiceClient(connection), *host, *path); err != nil {
		explain(err)
		os.Exit(1)
	}
}

// security is TLS when there is an authority to check the control plane's certificate with.
func security(ca string) (credentials.TransportCredentials, error) {
	if ca == "" {
		return insecure.NewCredentials(), nil
	}
	return credentials.NewClientTLSFromFile(ca, "")
}

func run(ctx context.Context, config adminv1.ConfigServiceClient, host, path string) error {
	// Watching begins before the change is made, so that nothing is missed. The first message says where we are.
	watch, err := config.Watch(ctx, &adminv1.WatchRequest{})
	if err != nil {
		return err
	}
	start, err := watch.Recv()
	if err != nil {
		return err
	}
	fmt.Printf("at revision %d\n", start.GetHeartbeat().GetRevision())

	done, err := config.Transact(ctx, &adminv1.TransactRequest{
		Operations: []*adminv1.Operation{
			put(&configv1.Resource{Kind: &configv1.Resource_Service{Service: &configv1.Service{
				Name: "from-go", Host: host,
			}}}),
			// What comes earlier in a transaction may be referred to by name.
			put(&configv1.Resource{Kind: &configv1.Resource_Route{Route: &configv1.Route{
				Name: "from-go", Paths: []string{path}, Service: &configv1.Reference{Name: "from-go"},
			}}}),
		},
		Author:  "example",
		Message: "A service and its route, from Go",
	})
	if err != nil {
		return err
	}
	fmt.Printf("committed revision %d\n", done.Revision)
	for _, warning := range done.Warnings {
		fmt.Printf("  warning: %s %q: %s: %s\n", warning.Kind, warning.Name, warning.Field, warning.Message)
	}
	if len(done.Changes) == 0 {
		fmt.Println("nothing had to change")
		return nil
	}
	if err := wait(ctx, config, done.Revision); err != nil {
		return err
	}
	return follow(watch, done.Revision)
}

func put(resource *configv1.Resource) *adminv1.Operation {
	return &adminv1.Operation{Operation: &adminv1.Operation_Put{Put: resource}}
}

// wait follows the progress of a revision until all nodes serve it, or waiting longer does not help.
func wait(ctx context.Context, config adminv1.ConfigServiceClient, revision uint64) error {
	progress, err := config.WaitForRevision(ctx, &adminv1.WaitForRevisionRequest{
		Revision: revision, Timeout: durationpb.New(30 * time.Second),
	})
	if err != nil {
		return err
	}
	var last *adminv1.WaitForRevisionResponse
	for {
		now, err := progress.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		fmt.Printf("revision %d is served by %d of %d nodes\n", now.Revision, now.Serving, now.Total)
		last = now
	}
	if last.GetDone() {
		return nil
	}
	for _, node := range last.GetMissing() {
		fmt.Printf("  not by %s: %s\n", node.Id, cmp.Or(node.Reason, "on its way"))
	}
	return fmt.Errorf("revision %d is committed, and not served everywhere", revision)
}

// follow prints revisions until it has seen the one.
func follow(watch grpc.ServerStreamingClient[adminv1.WatchResponse], revision uint64) error {
	for {
		event, err := watch.Recv()
		if err != nil {
			return err
		}
		seen := event.GetRevision()
		if seen == nil {
			continue // a heartbeat
		}
		at := seen.Revision.Cursor.Revision
		fmt.Printf("saw revision %d by %s: %s\n", at, seen.Revision.Author, seen.Revision.Message)
		for _, change := range seen.Changes {
			fmt.Printf("  %s %s %q\n", change.Change.Action, change.Change.Kind, change.Change.Name)
		}
		if at >= revision && !seen.More {
			return nil
		}
	}
}

// explain prints an error with everything that is wrong, not only the first.
func explain(err error) {
	failed := status.Convert(err)
	fmt.Fprintf(os.Stderr, "%s: %s\n", failed.Code(), failed.Message())
	for _, detail := range failed.Details() {
		if request, ok := detail.(*errdetails.BadRequest); ok {
			for _, violation := range request.FieldViolations {
				fmt.Fprintf(os.Stderr, "  %s: %s\n", violation.Field, violation.Description)
			}
		}
	}
}
