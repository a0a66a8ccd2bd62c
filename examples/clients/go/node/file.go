package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	configv1 "holdfast.example/clients/gen/holdfast/config/v1"
	syncv1 "holdfast.example/clients/gen/holdfast/sync/v1"
	"holdfast.example/clients/state"
)

const (
	magic  = "holdfast"
	format = 1
)

// Served is a state with its name.
type Served struct {
	Cursor *configv1.Cursor
	State  state.State
}

// save makes a state durable: a snapshot file as snapshot_file.proto has it, whole or not there.
func save(path string, served *Served) error {
	header := &syncv1.SnapshotFileHeader{
		Workspace: served.State.Workspace,
		Cursor:    served.Cursor,
		Totals:    &syncv1.Totals{Entries: uint64(served.State.Count())},
		Time:      timestamppb.Now(),
	}
	var content []byte
	for _, index := range served.State.Indexes() {
		bucket := served.State.Bucket(index)
		header.Buckets = append(header.Buckets, &syncv1.BucketDigest{
			Index: index, Hash: bucket.Hash[:], Size: uint32(len(bucket.Bytes)),
		})
		header.Totals.Buckets++
		header.Totals.Bytes += uint64(len(bucket.Bytes))
		content = append(content, bucket.Bytes...)
	}
	encoded, err := proto.Marshal(header)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(encoded)
	data := binary.BigEndian.AppendUint32([]byte(magic), format)
	data = binary.BigEndian.AppendUint32(data, uint32(len(encoded)))
	data = append(append(append(data, encoded...), hash[:]...), content...)

	// It holds keys and passwords: CreateTemp makes it readable by its owner only.
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(data)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// load reads a snapshot file; nothing when there is none.
func load(path, workspace string) (*Served, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	served, err := read(data, workspace)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return served, nil
}

func read(data []byte, workspace string) (*Served, error) {
	if len(data) < 16 || string(data[:8]) != magic {
		return nil, errors.New("is no snapshot file")
	}
	if found := binary.BigEndian.Uint32(data[8:]); found != format {
		return nil, fmt.Errorf("has format %d, not %d", found, format)
	}
	size := uint64(binary.BigEndian.Uint32(data[12:]))
	data = data[16:]
	if uint64(len(data)) < size+sha256.Size {
		return nil, errors.New("ends within its header")
	}
	encoded, hash, content := data[:size], data[size:size+sha256.Size], data[size+sha256.Size:]
	if sum := sha256.Sum256(encoded); !bytes.Equal(sum[:], hash) {
		return nil, errors.New("has a damaged header")
	}
	header := &syncv1.SnapshotFileHeader{}
	if err := proto.Unmarshal(encoded, header); err != nil {
		return nil, err
	}
	if header.Workspace != workspace {
		return nil, fmt.Errorf("is of workspace %q, not %q", header.Workspace, workspace)
	}
	buckets := map[uint32][]byte{}
	for _, bucket := range header.Buckets {
		if uint64(len(content)) < uint64(bucket.Size) {
			return nil, errors.New("ends within a bucket")
		}
		buckets[bucket.Index], content = content[:bucket.Size], content[bucket.Size:]
	}
	made, err := state.New(workspace, buckets)
	if err != nil {
		return nil, err
	}
	// The root stands for the hash of each bucket.
	if root := made.Root(); hex.EncodeToString(root[:]) != header.GetCursor().GetRoot() {
		return nil, errors.New("does not have the root that its header names")
	}
	return &Served{header.Cursor, made}, nil
}
