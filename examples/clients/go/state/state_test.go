package state

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vectors = "../../../../proto/testdata"

type vector struct {
	Workspace  string
	Entries    []struct{ Key, Value string }
	Buckets    []bucketVector
	First      *bucketVector `json:"first_bucket"`
	EntryCount int           `json:"entry_count"`
	Root       string
}

type bucketVector struct {
	Index       uint32
	Bytes, Hash string
}

func read(t *testing.T, name string) (v vector) {
	data, err := os.ReadFile(filepath.Join(vectors, name))
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func check(t *testing.T, v vector, entries []Entry) State {
	empty, _ := New(v.Workspace, nil)
	made := empty.Apply(entries, nil)
	if root := fmt.Sprintf("%x", made.Root()); root != v.Root {
		t.Errorf("root is %s, not %s", root, v.Root)
	}
	if made.Count() != v.EntryCount {
		t.Errorf("%d entries, not %d", made.Count(), v.EntryCount)
	}
	for _, want := range v.Buckets {
		got := made.Bucket(want.Index)
		if hex.EncodeToString(got.Bytes) != want.Bytes || fmt.Sprintf("%x", got.Hash) != want.Hash {
			t.Errorf("bucket %d is %x with hash %x", want.Index, got.Bytes, got.Hash)
		}
	}
	return made
}

func TestListedEntries(t *testing.T) {
	for _, name := range []string{"empty.json", "one-entry.json", "three-entries.json"} {
		t.Run(name, func(t *testing.T) {
			v := read(t, name)
			var entries []Entry
			for _, entry := range v.Entries {
				value, err := hex.DecodeString(entry.Value)
				if err != nil {
					t.Fatal(err)
				}
				entries = append(entries, Entry{entry.Key, value})
			}
			if made := check(t, v, entries); len(made.Indexes()) != len(v.Buckets) {
				t.Errorf("buckets %v", made.Indexes())
			}
		})
	}
}

func TestEntriesMadeByTheRule(t *testing.T) {
	v := read(t, "generated-10000.json")
	v.Buckets = []bucketVector{*v.First}
	var entries []Entry
	for i := range 10_000 {
		key := fmt.Sprintf("route/00000000-0000-4000-8000-%012x", i)
		entries = append(entries, Entry{key, []byte(strings.Repeat(string([]byte{byte(i)}), i%7))})
	}
	made := check(t, v, entries)

	// Received whole, it is the same; taken back again, nothing is left.
	buckets := map[uint32][]byte{}
	for _, index := range made.Indexes() {
		buckets[index] = made.Bucket(index).Bytes
	}
	received, err := New(v.Workspace, buckets)
	if err != nil || received.Root() != made.Root() {
		t.Errorf("root is %x: %v", received.Root(), err)
	}
	var keys []string
	for _, entry := range entries {
		keys = append(keys, entry.Key)
	}
	if root := fmt.Sprintf("%x", made.Apply(nil, keys).Root()); root != read(t, "empty.json").Root {
		t.Errorf("root is %s", root)
	}
}

func TestBytesThatAreNoBucket(t *testing.T) {
	empty, _ := New("w", nil)
	one := empty.Apply([]Entry{{"route/a", []byte("x")}}, nil)
	index := one.Indexes()[0]
	good := one.Bucket(index).Bytes
	for name, bad := range map[string][]byte{
		"cut":        good[:len(good)-1],
		"twice":      append(append([]byte{}, good...), good...),
		"misleading": {0xff, 0xff, 0xff, 0xff},
	} {
		if _, err := New("w", map[uint32][]byte{index: bad}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New("w", map[uint32][]byte{(index + 1) % Buckets: good}); err == nil {
		t.Error("a key in a bucket of others: taken")
	}
}
