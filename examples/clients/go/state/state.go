// Package state is the structure that both planes share: entries in 1024 buckets, proved by one root.
//
// It follows the head of proto/holdfast/sync/v1/sync.proto and nothing else. state_test.go holds it against the vectors in
// proto/testdata.
package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Buckets is how many buckets there are.
const Buckets = 1024

// Hash is a bucket's hash, or a root.
type Hash [sha256.Size]byte

// Entry is one resource as it is stored.
type Entry struct {
	Key   string
	Value []byte
}

// Bucket is the bytes of a bucket with their hash.
type Bucket struct {
	Bytes []byte
	Hash  Hash
}

// State is the content of a workspace. It is not changed once it is made.
type State struct {
	Workspace string
	// Those that are not empty.
	buckets map[uint32]Bucket
}

// BucketOf is the number of the bucket that a key lies in: the first 10 bits of its hash.
func BucketOf(key string) uint32 {
	hash := sha256.Sum256([]byte(key))
	return uint32(hash[0])<<2 | uint32(hash[1])>>6
}

// HashBucket makes the hash of a bucket from its bytes.
func HashBucket(data []byte) Hash {
	hash := sha256.New()
	hash.Write([]byte("holdfast.bucket.v1\x00"))
	hash.Write(data)
	return Hash(hash.Sum(nil))
}

// New makes a state of whole buckets, each of which must be what a bucket may be.
func New(workspace string, buckets map[uint32][]byte) (State, error) {
	made := State{workspace, make(map[uint32]Bucket, len(buckets))}
	for index, data := range buckets {
		if _, err := parse(index, data); err != nil {
			return State{}, fmt.Errorf("bucket %d: %w", index, err)
		}
		if len(data) > 0 {
			made.buckets[index] = Bucket{data, HashBucket(data)}
		}
	}
	return made, nil
}

// Bucket reads a bucket; one without bytes when it is empty.
func (s State) Bucket(index uint32) Bucket { return s.buckets[index] }

// Indexes lists the buckets that are not empty, ascending.
func (s State) Indexes() []uint32 { return slices.Sorted(maps.Keys(s.buckets)) }

// Root proves the whole content: equal roots, equal content.
func (s State) Root() Hash {
	hash := sha256.New()
	hash.Write([]byte("holdfast.root.v1\x00"))
	hash.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s.Workspace))))
	hash.Write([]byte(s.Workspace))
	for _, index := range s.Indexes() {
		hash.Write(binary.BigEndian.AppendUint16(nil, uint16(index)))
		bucket := s.buckets[index].Hash
		hash.Write(bucket[:])
	}
	return Hash(hash.Sum(nil))
}

// Entries goes through all entries, bucket by bucket.
func (s State) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, index := range s.Indexes() {
			entries, _ := parse(index, s.buckets[index].Bytes) // made by New and Apply, which have checked it
			for _, entry := range entries {
				if !yield(entry) {
					return
				}
			}
		}
	}
}

// Count is the number of entries.
func (s State) Count() int {
	count := 0
	for range s.Entries() {
		count++
	}
	return count
}

// Lost counts the entries whose keys another state does not have.
func (s State) Lost(other State) int {
	kept := map[string]bool{}
	for entry := range other.Entries() {
		kept[entry.Key] = true
	}
	lost := 0
	for entry := range s.Entries() {
		if !kept[entry.Key] {
			lost++
		}
	}
	return lost
}

// Apply makes the state that a delta leads to. Buckets that it does not touch are shared.
func (s State) Apply(puts []Entry, deletes []string) State {
	changed := map[uint32]map[string][]byte{}
	open := func(key string) map[string][]byte {
		index := BucketOf(key)
		if changed[index] == nil {
			entries, _ := parse(index, s.buckets[index].Bytes)
			changed[index] = map[string][]byte{}
			for _, entry := range entries {
				changed[index][entry.Key] = entry.Value
			}
		}
		return changed[index]
	}
	for _, key := range deletes {
		delete(open(key), key)
	}
	for _, entry := range puts {
		open(entry.Key)[entry.Key] = entry.Value
	}
	next := State{s.Workspace, maps.Clone(s.buckets)}
	for index, entries := range changed {
		if data := pack(entries); len(data) > 0 {
			next.buckets[index] = Bucket{data, HashBucket(data)}
		} else {
			delete(next.buckets, index)
		}
	}
	return next
}

// pack writes the bytes of a bucket.
func pack(entries map[string][]byte) []byte {
	var data []byte
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		data = binary.BigEndian.AppendUint32(data, uint32(len(key)))
		data = append(data, key...)
		data = binary.BigEndian.AppendUint32(data, uint32(len(entries[key])))
		data = append(data, entries[key]...)
	}
	return data
}

// parse reads the bytes of a bucket.
func parse(index uint32, data []byte) ([]Entry, error) {
	var entries []Entry
	var before []byte
	for len(data) > 0 {
		key, rest, err := field(data)
		if err != nil {
			return nil, err
		}
		value, rest, err := field(rest)
		if err != nil {
			return nil, err
		}
		if before != nil && bytes.Compare(before, key) >= 0 {
			return nil, fmt.Errorf("key %q does not follow %q", key, before)
		}
		if own := BucketOf(string(key)); own != index {
			return nil, fmt.Errorf("key %q belongs to bucket %d", key, own)
		}
		entries = append(entries, Entry{string(key), value})
		before, data = key, rest
	}
	return entries, nil
}

// field reads a length and so many bytes.
func field(data []byte) (value, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errors.New("ends within a length")
	}
	size := uint64(binary.BigEndian.Uint32(data))
	if uint64(len(data)-4) < size {
		return nil, nil, errors.New("ends within a key or value")
	}
	return data[4 : 4+size : 4+size], data[4+size:], nil
}
