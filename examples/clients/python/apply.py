"""One Manifest or Delta on its way from offered to served."""

import time
import zlib

from google.protobuf.message import DecodeError

from protos import resource, sync
from state import BUCKETS, State, hash_bucket

WINDOW = 4 << 20
CHUNK = 256 << 10
SNAPSHOT = 2 << 30  # what this node is willing to hold
VIOLATIONS = 64


class Refused(Exception):
    """A state that is not applied, and why."""

    def __init__(self, kind: int, violations: list = []) -> None:
        super().__init__(sync.NackClass.Name(kind))
        self.kind = kind
        self.violations = violations


class Apply:
    def __init__(self, seq: int, cursor) -> None:
        self.seq = seq
        self.cursor = cursor
        self.predecessors: list[str] = []
        self.allowed = False
        self.same = False
        # What is still to be asked for, what was asked for, the bytes that came, the buckets that are whole.
        self.wanted: list = []
        self.asked: dict[int, object] = {}
        self.partial: dict[int, bytes] = {}
        self.whole: dict[int, bytes] = {}
        self.state = State("default")
        self.retry_in = 1.0
        self.timings = sync.Timings()
        self.since = time.monotonic()

    def step(self, name: str) -> None:
        """Notes the time since the last step."""
        now = time.monotonic()
        setattr(self.timings, name, int((now - self.since) * 1e6))
        self.since = now

    def received(self) -> None:
        self.step("receive_us")

    def take_manifest(self, manifest, have, state: State, staged: dict[bytes, bytes]) -> None:
        self.predecessors, self.allowed = list(manifest.predecessors), manifest.allowed
        if not manifest.buckets and manifest.totals.buckets > 0:
            # None, although there are some: this node has them all.
            if have is None or have.root != manifest.cursor.root:
                raise Refused(sync.NACK_CLASS_ROOT_MISMATCH)
            self.same = True
            return
        indexes = [digest.index for digest in manifest.buckets]
        size = sum(digest.size for digest in manifest.buckets)
        if indexes != sorted(set(indexes)) or any(index >= BUCKETS for index in indexes):
            raise ValueError("the buckets of a Manifest are out of order")
        if size != manifest.totals.bytes or size > SNAPSHOT:
            raise ValueError(f"{manifest.totals.bytes} bytes announced, the buckets have {size}")
        for digest in manifest.buckets:
            if not manifest.whole and state.hashes.get(digest.index) == digest.hash:
                self.whole[digest.index] = state.buckets[digest.index]
            elif not manifest.whole and digest.hash in staged:
                self.whole[digest.index] = staged[digest.hash]
            else:
                self.wanted.append(digest)

    def next_request(self) -> list:
        """As many buckets as may be outstanding; one that is larger than that goes alone."""
        outstanding = sum(digest.size for digest in self.asked.values())
        request = []
        while self.wanted and (outstanding == 0 or outstanding + self.wanted[0].size <= WINDOW):
            digest = self.wanted.pop(0)
            self.asked[digest.index] = digest
            outstanding += digest.size
            request.append(sync.BucketDigest(index=digest.index, hash=digest.hash))
        return request

    def take_chunk(self, chunk) -> bool:
        """Takes a piece; whether a bucket is whole with it."""
        digest = self.asked.get(chunk.index)
        data = self.partial.get(chunk.index, b"")
        if digest is None or chunk.offset != len(data):
            raise ValueError(f"bucket {chunk.index}: a piece at {chunk.offset} was not expected")
        data += unpack(chunk, CHUNK)
        if len(data) > digest.size:
            raise ValueError(f"bucket {chunk.index} is larger than announced")
        self.partial[chunk.index] = data
        if not chunk.last:
            return False
        if hash_bucket(data) != digest.hash:
            raise Refused(sync.NACK_CLASS_ROOT_MISMATCH)
        self.whole[chunk.index] = data
        del self.partial[chunk.index], self.asked[chunk.index]
        return True

    def build(self, served: State) -> State:
        if self.same:
            return served
        try:
            return State(served.workspace, self.whole)
        except ValueError as error:
            raise Refused(sync.NACK_CLASS_ROOT_MISMATCH, [sync.Violation(reason=str(error))]) from error

    def prove(self, state: State, have, served: State) -> None:
        """Compares with the root that was announced and with what is served."""
        cursor = self.cursor
        if state.root() != cursor.root:
            raise Refused(sync.NACK_CLASS_ROOT_MISMATCH)
        if have is not None and have.epoch == cursor.epoch:
            if cursor.revision < have.revision or (cursor.revision == have.revision and cursor.root != have.root):
                raise Refused(sync.NACK_CLASS_STALE)
        elif have is not None and not self.allowed and have.epoch not in self.predecessors:
            if 2 * served.lost(state) > len(served):
                raise Refused(sync.NACK_CLASS_HELD)
        self.step("verify_us")

    def prepare(self, state: State) -> None:
        """Reads all of it: what cannot be read is refused, with all that is wrong."""
        violations = []
        for key, value in state.entries():
            try:
                resource.Resource.FromString(value)
            except DecodeError as error:
                violations.append(sync.Violation(key=key, reason=str(error)))
        if violations:
            raise Refused(sync.NACK_CLASS_INVALID, violations[:VIOLATIONS])
        self.state = state
        self.step("prepare_us")


def unpack(message, most: int) -> bytes:
    """The plain data of a message, never more than was announced and may be."""
    if message.size > most:
        raise ValueError(f"{message.size} bytes announced, more than {most}")
    if message.codec == sync.CODEC_IDENTITY:
        data = message.data
    elif message.codec == sync.CODEC_GZIP:
        try:
            data = zlib.decompressobj(wbits=31).decompress(message.data, message.size + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
    else:
        raise ValueError(f"codec {message.codec} is not known")
    if len(data) != message.size:
        raise ValueError(f"{message.size} bytes announced, {len(data)} came")
    return data
