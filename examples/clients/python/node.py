"""A data plane's end of the stream, written from the comments in proto/holdfast/sync/v1 alone."""

import logging
import queue
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError

import snapshot_file
from apply import Apply, Refused, unpack
from protos import resource, sync, sync_rpc
from state import State, hash_bucket

REPORT_EVERY = 10.0
DEAD_AFTER = 30.0
LONGEST_WAIT = 3600.0
LONGEST_RETRY = 60.0
REFUSALS = 16

log = logging.getLogger("node")


class Breach(ValueError):
    """The control plane said what it may not say: hang up and connect again."""


class Goodbye(Exception):
    """The control plane ends the stream."""

    def __init__(self, said) -> None:
        super().__init__(f"{sync.GoodbyeReason.Name(said.reason)}: {said.message}")
        self.retry_after = min(said.retry_after.ToTimedelta().total_seconds(), LONGEST_WAIT)


def features() -> list:
    """What this node can apply: every kind that its generated code knows. It runs no plugins, and says so:
    "config/fail-route" has it sent states with plugins all the same, and it must not pass requests through such routes."""
    kinds = resource.Resource.DESCRIPTOR.oneofs_by_name["kind"].fields
    names = ["config/fail-route", *(f"kind/{kind.name}" for kind in kinds)]
    return [sync.Feature(name=name, version=1) for name in names]


class Node:
    """Takes up what its control plane offers. `serving` is called with the cursor and the state that it serves."""

    def __init__(self, node_id: str, workspace: str, folder: Path, serving: Callable) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.info = sync.NodeInfo(id=node_id, boot=str(uuid.uuid4()), build="example-python/1")
        self.info.hostname = socket.gethostname()
        self.file = folder / "state.hfs"
        self.serving = serving
        self.refused: list = []
        # Buckets of a state that was not finished, by hash: the next stream need not fetch them again.
        self.staged: dict[bytes, bytes] = {}
        self.retry = sync.RetryPolicy()
        self.retry.min.FromMilliseconds(250)
        self.retry.max.FromSeconds(30)
        self.retry.reset_after.FromSeconds(60)
        # It serves before it sees a control plane. Without a cursor it has no configuration at all.
        self.cursor, self.state = snapshot_file.load(self.file, workspace)
        if self.cursor is not None:
            serving(self.cursor, self.state)

    def run(self, channel: grpc.Channel) -> None:
        """Keeps a stream to the control plane, for ever."""
        failures = 0
        while True:
            began = time.monotonic()
            least = 0.0
            try:
                Session(self, sync_rpc.SyncServiceStub(channel)).run()
            except Goodbye as goodbye:
                log.warning("%s", goodbye)
                least = goodbye.retry_after
            except (ValueError, DecodeError, grpc.RpcError) as error:
                log.warning("the stream ended: %s", error)
            if time.monotonic() - began >= seconds(self.retry.reset_after):
                failures = 0
            # A random time between nothing and a limit that doubles.
            limit = min(seconds(self.retry.min) * 2**failures, seconds(self.retry.max))
            failures = min(failures + 1, 16)
            time.sleep(max(least, random.uniform(0, limit)))


def seconds(duration) -> float:
    return duration.ToTimedelta().total_seconds()


class Session:
    """One stream."""

    def __init__(self, node: Node, stub) -> None:
        self.node = node
        self.stub = stub
        self.out: queue.SimpleQueue = queue.SimpleQueue()
        self.incoming: queue.SimpleQueue = queue.SimpleQueue()
        self.seq = 0
        self.apply: Apply | None = None
        self.again_at: float | None = None

    def say(self, **message) -> None:
        self.out.put(sync.ConnectRequest(**message))

    def run(self) -> None:
        node = self.node
        hello = sync.Hello(node=node.info, workspace=node.state.workspace, features=features(), have=node.cursor)
        hello.refused.extend(node.refused)
        self.say(hello=hello)
        self.say(snapshot_request=sync.SnapshotRequest())
        call = self.stub.Connect(iter(self.out.get, None))
        threading.Thread(target=self.read, args=(call,), daemon=True).start()
        try:
            self.converse()
        finally:
            self.out.put(None)
            call.cancel()
            self.drop()

    def read(self, call: Iterator) -> None:
        try:
            for message in call:
                self.incoming.put(message)
            self.incoming.put(Breach("the control plane closed the stream"))
        except grpc.RpcError as error:
            self.incoming.put(error)

    def converse(self) -> None:
        heard = reported = time.monotonic()
        welcomed = False
        while True:
            now = time.monotonic()
            if now - heard >= DEAD_AFTER:
                raise Breach(f"the control plane has said nothing for {DEAD_AFTER} s")
            if now - reported >= REPORT_EVERY:
                reported = now
                self.say(report=sync.Report(serving=self.node.cursor))
            if self.again_at is not None and now >= self.again_at:
                self.persist()
            due = min(reported + REPORT_EVERY, heard + DEAD_AFTER, self.again_at or now + DEAD_AFTER)
            try:
                message = self.incoming.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                continue
            if isinstance(message, Exception):
                raise message
            heard = time.monotonic()
            kind = message.WhichOneof("message")
            welcomed = welcomed or kind == "welcome"
            if not welcomed and kind != "goodbye":
                raise Breach(f"{kind} came before Welcome")
            try:
                # Heartbeats, and what a newer control plane says, are signs of life.
                getattr(self, f"on_{kind}", lambda _: None)(getattr(message, kind) if kind else None)
            except Refused as refused:
                self.nack(refused)

    def on_welcome(self, welcome) -> None:
        self.node.retry = welcome.retry
        for missing in welcome.missing:
            log.warning("lacks %s, which is needed by %s", missing.feature.name, ", ".join(missing.keys))

    def on_goodbye(self, said) -> None:
        raise Goodbye(said)

    def begin(self, seq: int, cursor) -> Apply:
        """Drops what was going on: there is only ever one, the newest."""
        if seq <= self.seq:
            raise Breach(f"seq {seq} does not follow {self.seq}")
        self.drop()
        self.seq = seq
        self.apply = Apply(seq, cursor)
        return self.apply

    def drop(self) -> None:
        """Keeps the whole buckets of what was going on for the next Manifest."""
        if self.apply is not None:
            self.node.staged = {hash_bucket(data): data for data in self.apply.whole.values()}
        self.apply = self.again_at = None

    def on_manifest(self, manifest) -> None:
        apply = self.begin(manifest.seq, manifest.cursor)
        apply.take_manifest(manifest, self.node.cursor, self.node.state, self.node.staged)
        self.fetch()

    def fetch(self) -> None:
        wanted = self.apply.next_request()
        if wanted:
            self.say(bucket_request=sync.BucketRequest(seq=self.apply.seq, buckets=wanted))
        elif not self.apply.asked:
            self.apply.received()
            self.finish(self.apply.build(self.node.state))

    def on_bucket_chunk(self, chunk) -> None:
        if self.apply is None or chunk.seq != self.apply.seq:
            return  # of a Manifest that another took the place of
        if self.apply.take_chunk(chunk):
            self.fetch()

    def on_delta(self, delta) -> None:
        apply = self.begin(delta.seq, delta.to)
        if getattr(delta, "from") != self.node.cursor:
            raise Refused(sync.NACK_CLASS_ROOT_MISMATCH)
        content = sync.DeltaContent.FromString(unpack(delta, 1 << 20))
        apply.received()
        puts = [(entry.key, entry.value) for entry in content.puts]
        self.finish(self.node.state.apply(puts, content.deletes))

    def finish(self, state: State) -> None:
        """Proves a state, reads all of it, and goes on to store it."""
        self.apply.prove(state, self.node.cursor, self.node.state)
        self.apply.prepare(state)
        self.persist()

    def persist(self) -> None:
        """Stores what is proved, now or again, serves it and says so."""
        apply, node = self.apply, self.node
        try:
            snapshot_file.save(node.file, apply.cursor, apply.state)
        except OSError as error:
            first = self.again_at is None
            self.again_at = time.monotonic() + apply.retry_in
            apply.retry_in = min(2 * apply.retry_in, LONGEST_RETRY)
            if first:
                violation = sync.Violation(reason=str(error))
                self.answer(Refused(sync.NACK_CLASS_LOCAL_IO, [violation]))
            return
        apply.step("persist_us")
        node.cursor, node.state = apply.cursor, apply.state
        node.serving(node.cursor, node.state)
        apply.step("commit_us")
        self.say(ack=sync.Ack(seq=apply.seq, cursor=apply.cursor, timings=apply.timings))
        self.apply = self.again_at = None
        node.staged = {}

    def nack(self, refused: Refused) -> None:
        """Ends an apply: nothing has changed."""
        if refused.kind in (sync.NACK_CLASS_INVALID, sync.NACK_CLASS_HELD):
            refusal = sync.Refusal(cursor=self.apply.cursor, violations=refused.violations)
            setattr(refusal, "class", refused.kind)
            self.node.refused = [*self.node.refused, refusal][-REFUSALS:]
        self.answer(refused)
        self.apply = None

    def answer(self, refused: Refused) -> None:
        log.warning("revision %d: %s", self.apply.cursor.revision, refused)
        nack = sync.Nack(seq=self.apply.seq, cursor=self.apply.cursor, kept=self.node.cursor)
        setattr(nack, "class", refused.kind)
        nack.violations.extend(refused.violations)
        self.say(nack=nack)
