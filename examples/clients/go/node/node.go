// Package node is a data plane's end of the stream, written from the comments in proto/holdfast/sync/v1 alone.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	configv1 "holdfast.example/clients/gen/holdfast/config/v1"
	syncv1 "holdfast.example/clients/gen/holdfast/sync/v1"
	"holdfast.example/clients/state"
)

const (
	reportEvery = 10 * time.Second
	deadAfter   = 30 * time.Second
	longestWait = time.Hour
	refusals    = 16
)

// Options say who the node is and where its state is kept.
type Options struct {
	ID, Workspace, Dir string
	// Called when a state is about to be served: what it returns is refused as INVALID, and nothing has changed.
	Prepare func(*Served) []*syncv1.Violation
	// Called when a state is served.
	Serving func(*Served)
}

// Node takes up what its control plane offers.
type Node struct {
	options Options
	boot    string
	serving *Served // nil: no configuration at all
	// Buckets of a state that was not finished, by hash: the next stream need not fetch them again.
	staged  map[state.Hash][]byte
	refused []*syncv1.Refusal
	retry   *syncv1.RetryPolicy
}

// Open begins with what the directory has, so that a node serves before it sees a control plane.
func Open(options Options) (*Node, error) {
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, err
	}
	node := &Node{options: options, boot: rand.Text(), staged: map[state.Hash][]byte{}}
	kept, err := load(node.file(), options.Workspace)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		node.serve(kept)
	}
	return node, nil
}

func (n *Node) file() string { return filepath.Join(n.options.Dir, "state.hfs") }

func (n *Node) serve(next *Served) {
	n.serving = next
	n.options.Serving(next)
}

// have is the cursor of what is served: nil when there is nothing.
func (n *Node) have() *configv1.Cursor {
	if n.serving == nil {
		return nil
	}
	return n.serving.Cursor
}

// Run keeps a stream to the control plane until the context ends.
func (n *Node) Run(ctx context.Context, connection grpc.ClientConnInterface) error {
	client := syncv1.NewSyncServiceClient(connection)
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := n.session(ctx, client)
		lasted := time.Since(began)
		least, most, calm := policy(n.retry)
		if lasted >= calm {
			failures = 0
		}
		// A random time between nothing and a limit that doubles.
		wait := mathrand.N(min(least<<min(failures, 16), most) + 1)
		failures++
		if told := (*goodbye)(nil); errors.As(err, &told) && told.RetryAfter != nil {
			wait = max(wait, min(told.RetryAfter.AsDuration(), longestWait))
		}
		if ctx.Err() == nil {
			slog.Warn("stream.ended", "err", err, "again_in", wait)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return ctx.Err()
}

func policy(told *syncv1.RetryPolicy) (least, most, calm time.Duration) {
	if told == nil {
		return 250 * time.Millisecond, 30 * time.Second, time.Minute
	}
	return max(told.Min.AsDuration(), time.Millisecond), told.Max.AsDuration(), told.ResetAfter.AsDuration()
}

type goodbye struct{ *syncv1.Goodbye }

func (g *goodbye) Error() string { return fmt.Sprintf("%s: %s", g.Reason, g.Message) }

// session is one stream.
type session struct {
	*Node
	stream   grpc.BidiStreamingClient[syncv1.ConnectRequest, syncv1.ConnectResponse]
	welcomed bool
	seq      uint64
	apply    *apply
	// Fires when what could not be stored is to be tried again.
	again <-chan time.Time
}

type received struct {
	message *syncv1.ConnectResponse
	err     error
}

func (n *Node) session(ctx context.Context, client syncv1.SyncServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Connect(ctx)
	if err != nil {
		return err
	}
	s := &session{Node: n, stream: stream}
	defer s.drop()
	hostname, _ := os.Hostname()
	hello := &syncv1.Hello{
		Node:      &syncv1.NodeInfo{Id: n.options.ID, Boot: n.boot, Build: "example-go/1", Hostname: hostname},
		Workspace: n.options.Workspace,
		Features:  features(),
		Have:      n.have(),
		Refused:   n.refused,
	}
	if err := stream.Send(&syncv1.ConnectRequest{Message: &syncv1.ConnectRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	request := &syncv1.ConnectRequest_SnapshotRequest{SnapshotRequest: &syncv1.SnapshotRequest{}}
	if err := stream.Send(&syncv1.ConnectRequest{Message: request}); err != nil {
		return err
	}

	messages := make(chan received)
	go func() {
		for {
			message, err := stream.Recv()
			select {
			case messages <- received{message, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	silence := time.NewTimer(deadAfter)
	defer silence.Stop()
	for {
		select {
		case got := <-messages:
			err = got.err
			if err == nil {
				silence.Reset(deadAfter)
				err = s.receive(got.message)
			}
		case <-report.C:
			report := &syncv1.ConnectRequest_Report{Report: &syncv1.Report{Serving: n.have()}}
			err = stream.Send(&syncv1.ConnectRequest{Message: report})
		case <-s.again:
			err = s.persist()
		case <-silence.C:
			err = fmt.Errorf("the control plane has said nothing for %s", deadAfter)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) receive(message *syncv1.ConnectResponse) error {
	if _, ok := message.Message.(*syncv1.ConnectResponse_Goodbye); !ok && !s.welcomed && message.GetWelcome() == nil {
		return fmt.Errorf("%T came before Welcome", message.Message)
	}
	switch message := message.Message.(type) {
	case *syncv1.ConnectResponse_Welcome:
		s.welcomed, s.retry = true, message.Welcome.Retry
		for _, missing := range message.Welcome.Missing {
			slog.Warn("feature.missing", "feature", missing.Feature.GetName(), "keys", missing.Keys)
		}
		return nil
	case *syncv1.ConnectResponse_Manifest:
		return s.takeManifest(message.Manifest)
	case *syncv1.ConnectResponse_BucketChunk:
		return s.takeChunk(message.BucketChunk)
	case *syncv1.ConnectResponse_BucketBatch:
		return s.takeBatch(message.BucketBatch)
	case *syncv1.ConnectResponse_Delta:
		return s.takeDelta(message.Delta)
	case *syncv1.ConnectResponse_Goodbye:
		return &goodbye{message.Goodbye}
	default: // a Heartbeat, or what a newer control plane says: a sign of life
		return nil
	}
}
