"""A state on the disk: a snapshot file, as proto/holdfast/sync/v1/snapshot_file.proto has it."""

import hashlib
import os
import struct
import tempfile
from pathlib import Path

from protos import snapshot_file as pb
from state import State

MAGIC = b"holdfast"
FORMAT = 1


def save(path: Path, cursor, state: State) -> None:
    """Makes a state durable, whole or not at all."""
    header = pb.SnapshotFileHeader(workspace=state.workspace, cursor=cursor)
    header.time.GetCurrentTime()
    for index, data in state.buckets.items():
        header.buckets.add(index=index, hash=state.hashes[index], size=len(data))
        header.totals.buckets += 1
        header.totals.bytes += len(data)
    header.totals.entries = len(state)
    encoded = header.SerializeToString()
    # It holds keys and passwords: mkstemp makes it readable by its owner only.
    number, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(MAGIC + struct.pack(">II", FORMAT, len(encoded)) + encoded)
            file.write(hashlib.sha256(encoded).digest())
            file.writelines(state.buckets.values())
            file.flush()
            os.fsync(number)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: Path, workspace: str):
    """The cursor and the state of a file; (None, an empty state) when there is no file."""
    if not path.exists():
        return None, State(workspace)
    data = path.read_bytes()
    if data[:8] != MAGIC or len(data) < 16:
        raise ValueError(f"{path} is no snapshot file")
    found, size = struct.unpack_from(">II", data, 8)
    if found != FORMAT:
        raise ValueError(f"{path} has format {found}, not {FORMAT}")
    at = 16 + size + 32
    encoded, digest = data[16 : 16 + size], data[16 + size : at]
    if hashlib.sha256(encoded).digest() != digest:
        raise ValueError(f"{path} has a damaged header")
    header = pb.SnapshotFileHeader.FromString(encoded)
    if header.workspace != workspace:
        raise ValueError(f"{path} is of workspace {header.workspace}, not {workspace}")
    buckets = {}
    for bucket in header.buckets:
        buckets[bucket.index] = data[at : at + bucket.size]
        at += bucket.size
    state = State(workspace, buckets)
    # The root stands for the hash of each bucket.
    if state.root() != header.cursor.root:
        raise ValueError(f"{path} does not have the root that its header names")
    return header.cursor, state
