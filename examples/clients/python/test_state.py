"""python -m unittest: the vectors in proto/testdata."""

import json
import unittest
from pathlib import Path

from state import State

VECTORS = Path(__file__).parent / "../../../proto/testdata"


def read(name: str) -> dict:
    return json.loads((VECTORS / name).read_text())


class Vectors(unittest.TestCase):
    def check(self, vector: dict, entries: list[tuple[str, bytes]], buckets: list[dict]) -> State:
        made = State(vector["workspace"]).apply(entries, [])
        for bucket in buckets:
            self.assertEqual(made.buckets[bucket["index"]].hex(), bucket["bytes"])
            self.assertEqual(made.hashes[bucket["index"]].hex(), bucket["hash"])
        self.assertEqual(len(made), vector["entry_count"])
        self.assertEqual(made.root(), vector["root"])
        return made

    def test_listed_entries(self) -> None:
        for name in ("empty.json", "one-entry.json", "three-entries.json"):
            with self.subTest(name):
                vector = read(name)
                entries = [(e["key"], bytes.fromhex(e["value"])) for e in vector["entries"]]
                made = self.check(vector, entries, vector["buckets"])
                self.assertEqual(list(made.buckets), [b["index"] for b in vector["buckets"]])

    def test_entries_made_by_the_rule(self) -> None:
        vector = read("generated-10000.json")
        entries = [(f"route/00000000-0000-4000-8000-{i:012x}", bytes([i % 256]) * (i % 7)) for i in range(10_000)]
        made = self.check(vector, entries, [vector["first_bucket"]])
        # Received whole, it is the same; taken back again, nothing is left.
        self.assertEqual(State(made.workspace, made.buckets).root(), made.root())
        self.assertEqual(made.apply([], [key for key, _ in entries]).root(), read("empty.json")["root"])

    def test_bytes_that_are_no_bucket(self) -> None:
        ((index, good),) = State("w").apply([("route/a", b"x")], []).buckets.items()
        for bad in (good[:-1], good + good, b"\xff\xff\xff\xff"):
            self.assertRaises(ValueError, State, "w", {index: bad})
        self.assertRaises(ValueError, State, "w", {(index + 1) % 1024: good})


if __name__ == "__main__":
    unittest.main()
