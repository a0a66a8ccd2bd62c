import { describe, expect, onTestFinished, test } from "vitest";
import { cursorOf } from "../../src/model/cursor.ts";
import { Snapshot } from "../../src/model/snapshot.ts";
import {
  IDEMPOTENCY_MS,
  PREDECESSORS,
  type Commit,
  type LoadedWorkspace,
  type RevisionRecord,
  type Store,
  type StoredChange,
} from "../../src/cp/store/store.ts";
import { commitOf } from "./commit-of.ts";
import { id } from "./resources.ts";

/** One place that a store keeps its data in. */
export interface StorePlace {
  /** Opens the store that is there, or creates one. */
  open(): Promise<Store>;
}

const WORKSPACE = "default";
const key = (number: number): string => `route/${id(number)}`;
const bytes = (text: string): Uint8Array => Buffer.from(text);

/** What every store must do. Places are empty at first. */
export function testStore(
  name: string,
  newPlace: () => Promise<StorePlace>,
): void {
  const opened = async (): Promise<{
    readonly store: Store;
    readonly place: StorePlace;
    readonly empty: LoadedWorkspace;
  }> => {
    const place = await newPlace();
    const store = await place.open();
    onTestFinished(() => store[Symbol.asyncDispose]());
    return { store, place, empty: await store.load(WORKSPACE) };
  };

  const all = async (
    store: Store,
    from: bigint,
    to: bigint,
  ): Promise<RevisionRecord[]> => {
    const records: RevisionRecord[] = [];
    for await (const record of store.records(WORKSPACE, from, to))
      records.push(record);
    return records;
  };

  describe(`${name}, as a store`, () => {
    test("workspaces are made, with a first revision or none, listed, and removed whole; a name that is free again begins anew", async () => {
      const { store, place } = await opened();
      const bare = await store.create("b");
      expect(bare.cursor).toMatchObject({ revision: 0n });
      const changes: StoredChange[] = [{ key: key(1), after: bytes("one") }];
      const { next } = commitOf(
        { ...bare, snapshot: Snapshot.empty("a") },
        changes,
      );
      const first = await store.create("a", {
        root: next.snapshot.root,
        timeMs: 5,
        author: "ann",
        message: "m",
        changes,
      });
      expect(first.cursor).toMatchObject({
        revision: 1n,
        root: next.snapshot.root,
      });
      expect(first.cursor.epoch).not.toBe(bare.cursor.epoch);
      await expect(store.create("a")).rejects.toMatchObject({
        code: "already_exists",
      });
      expect(await store.workspaces()).toEqual(["a", "b", WORKSPACE]);

      await store.saveNodes("a", [{ id: "n", data: bytes("n") }], []);
      await store.remove("a");
      expect(await store.workspaces()).toEqual(["b", WORKSPACE]);
      await expect(store.head("a")).rejects.toMatchObject({
        code: "not_found",
      });
      await store[Symbol.asyncDispose]();
      const again = await place.open();
      onTestFinished(() => again[Symbol.asyncDispose]());
      expect(await again.workspaces()).toEqual(["b", WORKSPACE]);
      expect(await again.removed()).toEqual(["a"]);
      const second = await again.create("a");
      expect(await again.removed()).toEqual([]);
      expect(second.cursor.epoch).not.toBe(first.cursor.epoch);
      expect((await again.load("a")).snapshot.entryCount).toBe(0);
      expect(await again.record("a", 1n)).toBeUndefined();
      expect(await again.loadNodes("a")).toEqual([]);
      await again.remove("a");
      await again.reclaim("a", AbortSignal.abort());
      expect(await again.removed()).toEqual(["a"]);
      await again.reclaim("a");
      expect(await again.removed()).toEqual([]);
    });

    test("a new workspace is empty, at revision 0, and has an epoch that no other has", async () => {
      const { empty } = await opened();
      expect(empty.cursor.revision).toBe(0n);
      expect(empty.snapshot.entryCount).toBe(0);
      expect(empty.cursor.root).toBe(Snapshot.empty(WORKSPACE).root);
      const second = await opened();
      expect(empty.cursor.epoch).toMatch(/^[0-9a-f]{32}$/);
      expect(second.empty.cursor.epoch).not.toBe(empty.cursor.epoch);
    });

    test("what was committed is there after it is opened again, with the same cursor", async () => {
      const { store, place, empty } = await opened();
      const first = commitOf(empty, [
        { key: key(1), after: bytes("one") },
        { key: key(2), after: bytes("two") },
      ]);
      await store.commit(WORKSPACE, [first.commit]);
      const second = commitOf(first.next, [
        { key: key(1), before: bytes("one") },
        { key: key(2), before: bytes("two"), after: bytes("zwei") },
      ]);
      await store.commit(WORKSPACE, [second.commit]);
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      const loaded = await again.load(WORKSPACE);
      expect(loaded.cursor).toEqual(second.next.cursor);
      expect([...loaded.snapshot.entries()]).toEqual([
        { key: key(2), value: Buffer.from("zwei") },
      ]);
    });

    test("several commits are one step, each with its record", async () => {
      const { store, empty } = await opened();
      const first = commitOf(empty, [{ key: key(1), after: bytes("one") }], {
        author: "ann",
        message: "first",
        timeMs: 5,
      });
      const second = commitOf(first.next, [
        { key: key(1), before: bytes("one"), after: bytes("eins") },
      ]);
      await store.commit(WORKSPACE, [first.commit, second.commit]);
      expect(await all(store, 1n, 9n)).toEqual(
        [first, second].map(({ commit }) => ({
          ...commit.record,
          changes: commit.record.changes.map(buffers),
        })),
      );
      expect((await store.record(WORKSPACE, 1n))?.author).toBe("ann");
      expect(await store.record(WORKSPACE, 3n)).toBeUndefined();
    });

    test("a commit that does not follow the head is refused and changes nothing", async () => {
      const { store, place, empty } = await opened();
      const first = commitOf(empty, [{ key: key(1), after: bytes("one") }]);
      await store.commit(WORKSPACE, [first.commit]);
      const late = commitOf(empty, [{ key: key(2), after: bytes("two") }]);
      await expect(
        store.commit(WORKSPACE, [late.commit]),
      ).rejects.toMatchObject({ name: "ConfigError", code: "aborted" });
      const foreign = commitOf(
        { ...first.next, cursor: { ...first.next.cursor, epoch: "other" } },
        [{ key: key(2), after: bytes("two") }],
      );
      await expect(
        store.commit(WORKSPACE, [foreign.commit]),
      ).rejects.toMatchObject({ code: "aborted" });
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      expect((await again.load(WORKSPACE)).cursor).toEqual(first.next.cursor);
    });

    test("a new epoch keeps content, revision and records, names what it replaced, and is there after it is opened again", async () => {
      const { store, place, empty } = await opened();
      const first = commitOf(empty, [{ key: key(1), after: bytes("one") }]);
      await store.commit(WORKSPACE, [first.commit]);
      const { epoch } = empty.cursor;
      const adopted = await store.adopt(WORKSPACE, { from: epoch });
      expect(adopted.cursor.epoch).toMatch(/^[0-9a-f]{32}$/);
      expect(adopted.cursor.epoch).not.toBe(epoch);
      expect(adopted).toEqual({
        cursor: { ...first.next.cursor, epoch: adopted.cursor.epoch },
        predecessors: [epoch],
      });
      expect(await store.head(WORKSPACE)).toEqual(adopted);
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      const loaded = await again.load(WORKSPACE);
      expect(loaded).toMatchObject(adopted);
      expect([...loaded.snapshot.entries()]).toEqual([
        { key: key(1), value: Buffer.from("one") },
      ]);
      expect((await again.record(WORKSPACE, 1n))?.cursor).toEqual(
        first.next.cursor,
      );
    });

    test("an epoch that is not the present one cannot be replaced, and commits follow the new one only", async () => {
      const { store, place, empty } = await opened();
      const from = empty.cursor.epoch;
      const adopted = await store.adopt(WORKSPACE, { from });
      await expect(store.adopt(WORKSPACE, { from })).rejects.toMatchObject({
        name: "ConfigError",
        code: "aborted",
      });
      const late = commitOf(empty, [{ key: key(1), after: bytes("one") }]);
      await expect(
        store.commit(WORKSPACE, [late.commit]),
      ).rejects.toMatchObject({ code: "aborted" });
      const next = commitOf({ ...adopted, snapshot: empty.snapshot }, [
        { key: key(1), after: bytes("one") },
      ]);
      await store.commit(WORKSPACE, [next.commit]);
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      expect(await again.load(WORKSPACE)).toMatchObject({
        cursor: next.next.cursor,
        predecessors: [from],
      });
    });

    test("the newest 64 replaced epochs are remembered, oldest first", async () => {
      const { store, place, empty } = await opened();
      const epochs = [empty.cursor.epoch];
      const first = commitOf(empty, [{ key: key(1), after: bytes("one") }]);
      await store.commit(WORKSPACE, [first.commit]);
      for (let i = 0; i < PREDECESSORS + 1; i++) {
        const from = epochs.at(-1) ?? "";
        const { cursor } = await store.adopt(WORKSPACE, { from });
        epochs.push(cursor.epoch);
      }
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      const loaded = await again.load(WORKSPACE);
      expect(loaded.cursor.epoch).toBe(epochs.pop());
      expect(loaded.predecessors).toEqual(epochs.slice(-PREDECESSORS));
    });

    test("history is read newest first, from any revision down", async () => {
      const { store, empty } = await opened();
      let state = empty;
      for (let i = 1; i <= 5; i++) {
        const { commit, next } = commitOf(state, [
          { key: key(i), after: bytes(String(i)) },
        ]);
        await store.commit(WORKSPACE, [commit]);
        state = next;
      }
      const revisions = async (
        options: Parameters<Store["history"]>[1],
      ): Promise<bigint[]> =>
        (await store.history(WORKSPACE, options)).map(
          ({ cursor }) => cursor.revision,
        );
      expect(await revisions({ limit: 2 })).toEqual([5n, 4n]);
      expect(await revisions({ before: 4n, limit: 2 })).toEqual([3n, 2n]);
      expect(await revisions({ before: 2n, limit: 9 })).toEqual([1n]);
      expect((await all(store, 2n, 4n)).map((r) => r.cursor.revision)).toEqual([
        2n,
        3n,
        4n,
      ]);
    });

    test("an entry keeps the time it was created at, and gets a new one when it is created anew", async () => {
      const { store, place, empty } = await opened();
      let state = empty;
      const step = async (
        timeMs: number,
        ...changes: StoredChange[]
      ): Promise<void> => {
        const { commit, next } = commitOf(state, changes, { timeMs });
        await store.commit(WORKSPACE, [commit]);
        state = next;
      };
      await step(10, { key: key(1), after: bytes("a") });
      await step(20, { key: key(1), before: bytes("a"), after: bytes("b") });
      expect(await store.times(WORKSPACE, [key(2), key(1)])).toEqual([
        undefined,
        { createdMs: 10, updatedMs: 20 },
      ]);
      await step(30, { key: key(1), before: bytes("b") });
      expect(await store.times(WORKSPACE, [key(1)])).toEqual([undefined]);
      await step(40, { key: key(1), after: bytes("c") });
      await step(50, { key: key(1), before: bytes("c"), after: bytes("d") });
      const times = [{ createdMs: 40, updatedMs: 50 }];
      expect(await store.times(WORKSPACE, [key(1)])).toEqual(times);
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      expect(await again.times(WORKSPACE, [key(1)])).toEqual(times);
    });

    test("times are right for an entry that several commits of one step change", async () => {
      const { store, empty } = await opened();
      const a = commitOf(empty, [{ key: key(1), after: bytes("a") }], {
        timeMs: 10,
      });
      const b = commitOf(
        a.next,
        [{ key: key(1), before: bytes("a"), after: bytes("b") }],
        { timeMs: 20 },
      );
      await store.commit(WORKSPACE, [a.commit, b.commit]);
      expect(await store.times(WORKSPACE, [key(1)])).toEqual([
        { createdMs: 10, updatedMs: 20 },
      ]);
      // Another workspace of that name begins without any.
      await store.remove(WORKSPACE);
      await store.create(WORKSPACE);
      expect(await store.times(WORKSPACE, [key(1)])).toEqual([undefined]);
    });

    test("an idempotent answer comes with its commit, also one without a record, and outlives a restart", async () => {
      const { store, place, empty } = await opened();
      const { commit } = commitOf(empty, [{ key: key(1), after: bytes("a") }]);
      const answer = (name: string): Required<Commit>["idempotency"] => ({
        key: name,
        digest: `digest of ${name}`,
        answer: bytes(`answer to ${name}`),
        timeMs: 1000,
      });
      await store.commit(WORKSPACE, [
        { ...commit, idempotency: answer("a/ü") },
        { idempotency: answer("b") },
      ]);
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      await again.load(WORKSPACE);
      for (const name of ["a/ü", "b"])
        expect(await again.idempotent(WORKSPACE, name)).toEqual({
          ...answer(name),
          answer: Buffer.from(answer(name).answer),
        });
      expect(await again.idempotent(WORKSPACE, "c")).toBeUndefined();
    });

    test("idempotent answers go after 24 hours, but not one whose key was used again", async () => {
      const { store } = await opened();
      const give = (name: string, timeMs: number): Promise<void> =>
        store.commit(WORKSPACE, [
          {
            idempotency: {
              key: name,
              digest: "",
              answer: bytes(String(timeMs)),
              timeMs,
            },
          },
        ]);
      await give("old", 1000);
      await give("again", 2000);
      await give("again", 2000 + IDEMPOTENCY_MS);
      await give("new", 3000 + IDEMPOTENCY_MS + 60_000);
      expect(await store.idempotent(WORKSPACE, "old")).toBeUndefined();
      expect((await store.idempotent(WORKSPACE, "again"))?.timeMs).toBe(
        2000 + IDEMPOTENCY_MS,
      );
      expect(await store.idempotent(WORKSPACE, "new")).toBeDefined();
    });

    test("the oldest records go when asked to, by number and by age, a few at a time, and never the head's", async () => {
      const { store, place, empty } = await opened();
      let state = empty;
      for (let i = 1; i <= 9; i++) {
        const before = i === 1 ? {} : { before: bytes(String(i - 1)) };
        const { commit, next } = commitOf(
          state,
          [{ key: key(1), ...before, after: bytes(String(i)) }],
          { timeMs: i * 1000 },
        );
        await store.commit(WORKSPACE, [commit]);
        state = next;
      }
      const compact = (
        before: bigint,
        limit: number,
        beforeMs?: number,
        keepFrom?: bigint,
      ) =>
        store.compact(WORKSPACE, {
          before,
          limit,
          ...(keepFrom === undefined ? {} : { keepFrom: () => keepFrom }),
          ...(beforeMs === undefined ? {} : { beforeMs }),
        });
      expect(await store.oldest(WORKSPACE)).toBe(1n);
      expect([await compact(4n, 2), await compact(4n, 2)]).toEqual([2, 1]);
      expect(await compact(4n, 2)).toBe(0);
      expect(await store.oldest(WORKSPACE)).toBe(4n);
      expect(await store.record(WORKSPACE, 3n)).toBeUndefined();
      // Younger than 5.5 s stay; revision 4 and 5 do not.
      expect(await compact(0n, 10, 5500)).toBe(2);
      expect(await store.oldest(WORKSPACE)).toBe(6n);
      // Neither their number nor their age takes what is to stay.
      expect(await compact(100n, 10, 1e9, 0n)).toBe(0);
      expect(await compact(100n, 10, 1e9, 7n)).toBe(1);
      expect(await compact(100n, 10, 1e9, 7n)).toBe(0);
      expect(await store.oldest(WORKSPACE)).toBe(7n);
      expect(await compact(100n, 10, 1e9, 100n)).toBe(2);
      expect(await store.record(WORKSPACE, 9n)).toBeDefined();
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      expect((await again.load(WORKSPACE)).cursor.revision).toBe(9n);
      expect(await again.oldest(WORKSPACE)).toBe(9n);
    });

    test("the history of a workspace that takes a removed one's name is known from its beginning, though somebody still asked for the other's", async () => {
      const { store } = await opened();
      const head = await store.create("a");
      let state = { ...head, snapshot: Snapshot.empty("a") };
      for (let i = 1; i <= 3; i++) {
        const { commit, next } = commitOf(state, [
          { key: key(i), after: bytes("one") },
        ]);
        await store.commit("a", [commit]);
        state = next;
      }
      expect(await store.compact("a", { before: 3n, limit: 9 })).toBe(2);
      await store.remove("a");
      await store.oldest("a");
      await store.create("a", {
        root: state.snapshot.root,
        timeMs: 5,
        author: "ann",
        message: "m",
        changes: [1, 2, 3].map((i) => ({ key: key(i), after: bytes("one") })),
      });
      expect(await store.oldest("a")).toBe(1n);
    });

    test("nodes are kept, replaced and forgotten", async () => {
      const { store, place } = await opened();
      const nodes = [
        { id: "a", data: Buffer.from("1") },
        { id: "b/c", data: Buffer.from("2") },
      ];
      await store.saveNodes(WORKSPACE, nodes, []);
      await store.saveNodes(
        WORKSPACE,
        [{ id: "a", data: Buffer.from("3") }],
        ["b/c", "unknown"],
      );
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      expect(await again.loadNodes(WORKSPACE)).toEqual([
        { id: "a", data: Buffer.from("3") },
      ]);
    });

    test("pins and a pause are kept, replaced and removed, each workspace's its own", async () => {
      const { store, place, empty } = await opened();
      await store.load("other");
      let state = empty;
      for (let i = 1; i <= 5; i++) {
        const { commit, next } = commitOf(state, [
          { key: key(i), after: bytes("a") },
        ]);
        await store.commit(WORKSPACE, [commit]);
        state = next;
      }
      const at = (revision: bigint) => ({
        cursor: cursorOf(empty.cursor.epoch, revision, empty.cursor.root),
        timeMs: 1000 + Number(revision),
      });
      expect(await store.loadHolds(WORKSPACE)).toEqual([]);
      await store.saveHolds(
        WORKSPACE,
        [{ node: "a", ...at(1n) }, { node: "b/c", ...at(2n) }, at(3n)],
        [],
      );
      await store.saveHolds("other", [{ node: "a", ...at(0n) }], []);
      await store.saveHolds(WORKSPACE, [{ node: "a", ...at(4n) }], ["unknown"]);
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      expect(await again.loadHolds(WORKSPACE)).toEqual([
        { node: "a", ...at(4n) },
        { node: "b/c", ...at(2n) },
        at(3n),
      ]);
      await again.saveHolds(WORKSPACE, [], ["b/c", undefined]);
      expect(await again.loadHolds(WORKSPACE)).toEqual([
        { node: "a", ...at(4n) },
      ]);
      expect(await again.loadHolds("other")).toEqual([
        { node: "a", ...at(0n) },
      ]);
      // What the history does not lead back to can be kept by nobody.
      await again.load(WORKSPACE);
      await again.compact(WORKSPACE, { before: 3n, limit: 10 });
      for (const revision of [0n, 2n])
        await expect(
          again.saveHolds(
            WORKSPACE,
            [at(3n), { node: "b", ...at(revision) }],
            [],
          ),
        ).rejects.toMatchObject({ code: "out_of_range" });
      expect(await again.loadHolds(WORKSPACE)).toHaveLength(1);
      await again.saveHolds(WORKSPACE, [at(3n), { node: "b", ...at(5n) }], []);
      expect(await again.loadHolds(WORKSPACE)).toHaveLength(3);
    });

    test("workspaces do not see each other, whatever their names", async () => {
      const { store, place, empty } = await opened();
      const other = await store.load("default-2");
      const { commit, next } = commitOf(empty, [
        { key: key(1), after: bytes("a") },
      ]);
      await store.commit(WORKSPACE, [commit]);
      const second = commitOf(other, [{ key: key(2), after: bytes("b") }]);
      await store.commit("default-2", [second.commit]);
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      expect((await again.load(WORKSPACE)).cursor).toEqual(next.cursor);
      expect((await again.load("default-2")).cursor).toEqual(
        second.next.cursor,
      );
      expect((await again.load("default-2")).snapshot.entryCount).toBe(1);
    });

    test("a large commit is whole after it is opened again", async () => {
      const { store, place, empty } = await opened();
      const { commit, next } = commitOf(
        empty,
        Array.from({ length: 5000 }, (_, i) => ({
          key: key(i),
          after: bytes("x".repeat(i % 300)),
        })),
      );
      await store.commit(WORKSPACE, [commit]);
      await store[Symbol.asyncDispose]();
      await using again = await place.open();
      const loaded = await again.load(WORKSPACE);
      expect(loaded.cursor).toEqual(next.cursor);
      expect(loaded.snapshot.entryCount).toBe(5000);
      expect((await again.record(WORKSPACE, 1n))?.changes.length).toBe(5000);
    });

    test("after closing, everything is refused as unavailable, and closing again does nothing", async () => {
      const { store, empty } = await opened();
      await store[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      const { commit } = commitOf(empty, [{ key: key(1), after: bytes("a") }]);
      const unavailable = { name: "ConfigError", code: "unavailable" };
      await expect(store.commit(WORKSPACE, [commit])).rejects.toMatchObject(
        unavailable,
      );
      await expect(store.load(WORKSPACE)).rejects.toMatchObject(unavailable);
      await expect(store.record(WORKSPACE, 1n)).rejects.toMatchObject(
        unavailable,
      );
      await expect(all(store, 1n, 2n)).rejects.toMatchObject(unavailable);
    });
  });
}

function buffers(change: StoredChange): StoredChange {
  const { before, after } = change;
  return {
    key: change.key,
    ...(before === undefined ? {} : { before: Buffer.from(before) }),
    ...(after === undefined ? {} : { after: Buffer.from(after) }),
  };
}
