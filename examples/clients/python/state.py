"""The structure that both planes share: entries in 1024 buckets, proved by one root.

It follows the head of proto/holdfast/sync/v1/sync.proto and nothing else. test_state.py holds it against the vectors in
proto/testdata.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping

BUCKETS = 1024


def bucket_of(key: str) -> int:
    """The number of the bucket that a key lies in: the first 10 bits of its hash."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:2], "big") >> 6


def hash_bucket(data: bytes) -> bytes:
    return hashlib.sha256(b"holdfast.bucket.v1\0" + data).digest()


class State:
    """The content of a workspace. It is not changed once it is made."""

    def __init__(self, workspace: str, buckets: Mapping[int, bytes] = {}) -> None:
        """Makes a state of whole buckets; ValueError when one of them is not what a bucket may be."""
        for index, data in buckets.items():
            parse(index, data)
        self.workspace = workspace
        self.buckets = {i: data for i, data in sorted(buckets.items()) if data}
        self.hashes = {i: hash_bucket(data) for i, data in self.buckets.items()}

    def root(self) -> str:
        """Proves the whole content: equal roots, equal content."""
        name = self.workspace.encode()
        root = hashlib.sha256(b"holdfast.root.v1\0" + struct.pack(">I", len(name)) + name)
        for index, bucket in self.hashes.items():
            root.update(struct.pack(">H", index) + bucket)
        return root.hexdigest()

    def entries(self) -> Iterator[tuple[str, bytes]]:
        for index, data in self.buckets.items():
            yield from parse(index, data).items()

    def __len__(self) -> int:
        return sum(1 for _ in self.entries())

    def lost(self, other: "State") -> int:
        """How many entries have keys that another state does not have."""
        return len({key for key, _ in self.entries()} - {key for key, _ in other.entries()})

    def apply(self, puts: Iterable[tuple[str, bytes]], deletes: Iterable[str]) -> "State":
        """The state that a delta leads to."""
        changed: dict[int, dict[str, bytes]] = {}

        def bucket(key: str) -> dict[str, bytes]:
            index = bucket_of(key)
            if index not in changed:
                changed[index] = parse(index, self.buckets.get(index, b""))
            return changed[index]

        for key in deletes:
            bucket(key).pop(key, None)
        for key, value in puts:
            bucket(key)[key] = value
        packed = {index: pack(entries) for index, entries in changed.items()}
        return State(self.workspace, self.buckets | packed)


def pack(entries: Mapping[str, bytes]) -> bytes:
    """Writes the bytes of a bucket."""
    return b"".join(field(key) + field(value) for key, value in sorted((k.encode(), v) for k, v in entries.items()))


def field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def parse(index: int, data: bytes) -> dict[str, bytes]:
    """Reads the bytes of a bucket."""
    entries: dict[str, bytes] = {}
    before = b""
    at = 0

    def take() -> bytes:
        nonlocal at
        if len(data) - at < 4:
            raise ValueError(f"bucket {index} ends within a length")
        (size,) = struct.unpack_from(">I", data, at)
        at += 4
        if len(data) - at < size:
            raise ValueError(f"bucket {index} ends within a key or value")
        at += size
        return data[at - size : at]

    while at < len(data):
        key, value = take(), take()
        if key <= before:
            raise ValueError(f"bucket {index}: key {key!r} does not follow {before!r}")
        text = key.decode("ascii")
        if bucket_of(text) != index:
            raise ValueError(f"bucket {index}: key {text!r} belongs to bucket {bucket_of(text)}")
        entries[text] = value
        before = key
    return entries
