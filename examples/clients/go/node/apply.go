package node

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	configv1 "holdfast.example/clients/gen/holdfast/config/v1"
	syncv1 "holdfast.example/clients/gen/holdfast/sync/v1"
	"holdfast.example/clients/state"
)

const (
	windowBytes   = 4 << 20
	chunkBytes    = 256 << 10
	deltaBytes    = 1 << 20
	snapshotBytes = 2 << 30 // what this node is willing to hold
	firstRetry    = time.Second
	longestRetry  = time.Minute
)

// apply is one Manifest or Delta on its way.
type apply struct {
	seq          uint64
	cursor       *configv1.Cursor
	predecessors []string
	allowed      bool
	// Of a Manifest: what is still to be asked for, what was asked for, the bytes that came, the buckets that are whole.
	wanted      []*syncv1.BucketDigest
	asked       map[uint32]*syncv1.BucketDigest
	outstanding uint64
	partial     map[uint32][]byte
	whole       map[uint32][]byte

	next    *Served // proved, to be stored
	wait    time.Duration
	timings syncv1.Timings
	since   time.Time
}

// step is the time since the last step, in microseconds.
func (a *apply) step() uint64 {
	before := a.since
	a.since = time.Now()
	return uint64(a.since.Sub(before).Microseconds())
}

// drop keeps the whole buckets of what was going on for the next Manifest.
func (s *session) drop() {
	if s.apply == nil {
		return
	}
	s.staged = map[state.Hash][]byte{}
	for _, data := range s.apply.whole {
		s.staged[state.HashBucket(data)] = data
	}
	s.apply = nil
}

// begin drops what was going on: there is only ever one, the newest.
func (s *session) begin(seq uint64, cursor *configv1.Cursor) (*apply, error) {
	if seq <= s.seq {
		return nil, fmt.Errorf("seq %d does not follow %d", seq, s.seq)
	}
	s.drop()
	s.seq, s.again = seq, nil
	s.apply = &apply{
		seq: seq, cursor: cursor, since: time.Now(), wait: firstRetry,
		asked: map[uint32]*syncv1.BucketDigest{}, partial: map[uint32][]byte{}, whole: map[uint32][]byte{},
	}
	return s.apply, nil
}

func (s *session) takeManifest(manifest *syncv1.Manifest) error {
	a, err := s.begin(manifest.Seq, manifest.Cursor)
	if err != nil {
		return err
	}
	a.predecessors, a.allowed = manifest.Predecessors, manifest.Allowed
	if len(manifest.Buckets) == 0 && manifest.GetTotals().GetBuckets() > 0 {
		// None, although there are some: this node has them all.
		if s.serving == nil || s.serving.Cursor.Root != a.cursor.Root {
			return s.nack(syncv1.NackClass_NACK_CLASS_ROOT_MISMATCH)
		}
		return s.finish(s.serving.State)
	}
	var total uint64
	for i, digest := range manifest.Buckets {
		if digest.Index >= state.Buckets || i > 0 && digest.Index <= manifest.Buckets[i-1].Index {
			return fmt.Errorf("bucket %d is out of order", digest.Index)
		}
		total += uint64(digest.Size)
		if data, ok := s.held(digest); ok && !manifest.Whole {
			a.whole[digest.Index] = data
		} else {
			a.wanted = append(a.wanted, digest)
		}
	}
	if total != manifest.GetTotals().GetBytes() || total > snapshotBytes {
		return fmt.Errorf("%d bytes announced, the buckets have %d", manifest.GetTotals().GetBytes(), total)
	}
	return s.fetch()
}

// held finds a bucket among those that are served and those that were fetched before.
func (s *session) held(digest *syncv1.BucketDigest) ([]byte, bool) {
	if len(digest.Hash) != len(state.Hash{}) {
		return nil, false
	}
	if s.serving != nil {
		if bucket := s.serving.State.Bucket(digest.Index); bucket.Hash == state.Hash(digest.Hash) {
			return bucket.Bytes, true
		}
	}
	data, ok := s.staged[state.Hash(digest.Hash)]
	return data, ok
}

// fetch asks for as much as may be outstanding; when all is there, goes on.
func (s *session) fetch() error {
	a := s.apply
	var request []*syncv1.BucketDigest
	for len(a.wanted) > 0 {
		digest := a.wanted[0]
		// A bucket that is larger than that goes alone.
		if a.outstanding > 0 && a.outstanding+uint64(digest.Size) > windowBytes {
			break
		}
		a.wanted = a.wanted[1:]
		a.asked[digest.Index] = digest
		a.outstanding += uint64(digest.Size)
		request = append(request, &syncv1.BucketDigest{Index: digest.Index, Hash: digest.Hash})
	}
	if len(request) > 0 {
		return s.stream.Send(&syncv1.ConnectRequest{Message: &syncv1.ConnectRequest_BucketRequest{
			BucketRequest: &syncv1.BucketRequest{Seq: a.seq, Buckets: request},
		}})
	}
	if len(a.asked) > 0 {
		return nil
	}
	a.timings.ReceiveUs = a.step()
	made, err := state.New(s.options.Workspace, a.whole)
	if err != nil {
		slog.Error("state.malformed", "err", err)
		return s.nack(syncv1.NackClass_NACK_CLASS_ROOT_MISMATCH)
	}
	return s.finish(made)
}

func (s *session) takeChunk(chunk *syncv1.BucketChunk) error {
	a := s.apply
	if a == nil || chunk.Seq != a.seq {
		return nil // of a Manifest that another took the place of
	}
	digest := a.asked[chunk.Index]
	if digest == nil || int(chunk.Offset) != len(a.partial[chunk.Index]) {
		return fmt.Errorf("bucket %d: a piece at %d was not expected", chunk.Index, chunk.Offset)
	}
	data, err := plain(chunk.Codec, chunk.Data, chunk.Size, chunkBytes)
	if err != nil {
		return err
	}
	all := append(a.partial[chunk.Index], data...)
	if len(all) > int(digest.Size) {
		return fmt.Errorf("bucket %d: is larger than announced", chunk.Index)
	}
	if !chunk.Last {
		a.partial[chunk.Index] = all
		return nil
	}
	delete(a.partial, chunk.Index)
	if !a.arrived(digest, all) {
		return s.nack(syncv1.NackClass_NACK_CLASS_ROOT_MISMATCH)
	}
	return s.fetch()
}

func (s *session) takeBatch(batch *syncv1.BucketBatch) error {
	a := s.apply
	if a == nil || batch.Seq != a.seq {
		return nil
	}
	data, err := plain(batch.Codec, batch.Data, batch.Size, chunkBytes)
	if err != nil {
		return err
	}
	for _, part := range batch.Buckets {
		digest := a.asked[part.Index]
		if digest == nil || int(part.Size) > len(data) {
			return fmt.Errorf("bucket %d was not expected", part.Index)
		}
		if !a.arrived(digest, data[:part.Size:part.Size]) {
			return s.nack(syncv1.NackClass_NACK_CLASS_ROOT_MISMATCH)
		}
		data = data[part.Size:]
	}
	return s.fetch()
}

// arrived takes a whole bucket; false when it is not what was announced.
func (a *apply) arrived(digest *syncv1.BucketDigest, data []byte) bool {
	hash := state.HashBucket(data)
	if !bytes.Equal(hash[:], digest.Hash) {
		return false
	}
	delete(a.asked, digest.Index)
	a.outstanding -= uint64(digest.Size)
	a.whole[digest.Index] = data
	return true
}

func (s *session) takeDelta(delta *syncv1.Delta) error {
	a, err := s.begin(delta.Seq, delta.To)
	if err != nil {
		return err
	}
	if !proto.Equal(delta.From, s.have()) {
		return s.nack(syncv1.NackClass_NACK_CLASS_ROOT_MISMATCH)
	}
	data, err := plain(delta.Codec, delta.Data, delta.Size, deltaBytes)
	if err != nil {
		return err
	}
	content := &syncv1.DeltaContent{}
	if err := proto.Unmarshal(data, content); err != nil {
		return err
	}
	puts := make([]state.Entry, len(content.Puts))
	for i, entry := range content.Puts {
		puts[i] = state.Entry{Key: entry.Key, Value: entry.Value}
	}
	a.timings.ReceiveUs = a.step()
	return s.finish(s.serving.State.Apply(puts, content.Deletes))
}

// finish proves a state, prepares it, and goes on to store it.
func (s *session) finish(made state.State) error {
	a := s.apply
	if root := made.Root(); hex.EncodeToString(root[:]) != a.cursor.Root {
		return s.nack(syncv1.NackClass_NACK_CLASS_ROOT_MISMATCH)
	}
	if have := s.have(); have != nil {
		if have.Epoch == a.cursor.Epoch {
			if a.cursor.Revision < have.Revision || a.cursor.Revision == have.Revision && a.cursor.Root != have.Root {
				return s.nack(syncv1.NackClass_NACK_CLASS_STALE)
			}
		} else if !a.allowed && !slices.Contains(a.predecessors, have.Epoch) &&
			2*s.serving.State.Lost(made) > s.serving.State.Count() {
			return s.nack(syncv1.NackClass_NACK_CLASS_HELD)
		}
	}
	a.timings.VerifyUs = a.step()
	next := &Served{a.cursor, made}
	if violations := s.options.Prepare(next); len(violations) > 0 {
		return s.nack(syncv1.NackClass_NACK_CLASS_INVALID, violations...)
	}
	a.timings.PrepareUs = a.step()
	a.next = next
	return s.persist()
}

// persist stores what is proved, now or again, serves it and says so.
func (s *session) persist() error {
	a := s.apply
	s.again = nil
	if err := save(s.file(), a.next); err != nil {
		slog.Error("state.not_stored", "err", err, "again_in", a.wait)
		first := a.wait == firstRetry
		s.again, a.wait = time.After(a.wait), min(2*a.wait, longestRetry)
		if first {
			return s.answer(syncv1.NackClass_NACK_CLASS_LOCAL_IO, &syncv1.Violation{Reason: err.Error()})
		}
		return nil
	}
	a.timings.PersistUs = a.step()
	s.serve(a.next)
	a.timings.CommitUs = a.step()
	clear(s.staged)
	s.apply = nil
	return s.stream.Send(&syncv1.ConnectRequest{Message: &syncv1.ConnectRequest_Ack{
		Ack: &syncv1.Ack{Seq: a.seq, Cursor: a.cursor, Timings: &a.timings},
	}})
}

// nack ends an apply: nothing has changed.
func (s *session) nack(class syncv1.NackClass, violations ...*syncv1.Violation) error {
	if class == syncv1.NackClass_NACK_CLASS_INVALID || class == syncv1.NackClass_NACK_CLASS_HELD {
		refusal := &syncv1.Refusal{Class: class, Cursor: s.apply.cursor, Violations: violations}
		s.refused = append(s.refused, refusal)
		s.refused = s.refused[max(0, len(s.refused)-refusals):]
	}
	err := s.answer(class, violations...)
	s.apply = nil
	return err
}

func (s *session) answer(class syncv1.NackClass, violations ...*syncv1.Violation) error {
	slog.Warn("state.refused", "class", class, "revision", s.apply.cursor.Revision)
	return s.stream.Send(&syncv1.ConnectRequest{Message: &syncv1.ConnectRequest_Nack{Nack: &syncv1.Nack{
		Seq: s.apply.seq, Cursor: s.apply.cursor, Kept: s.have(), Class: class, Violations: violations,
	}}})
}

// plain unpacks data, never more than was announced and may be.
func plain(codec syncv1.Codec, data []byte, size, most uint32) ([]byte, error) {
	if size > most {
		return nil, fmt.Errorf("%d bytes announced, more than %d", size, most)
	}
	switch codec {
	case syncv1.Codec_CODEC_IDENTITY:
	case syncv1.Codec_CODEC_GZIP:
		reader, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(io.LimitReader(reader, int64(size)+1)); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("the codec is not known")
	}
	if len(data) != int(size) {
		return nil, fmt.Errorf("%d bytes announced, %d came", size, len(data))
	}
	return data, nil
}
